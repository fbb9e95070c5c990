"""hostile.py KIND URL COUNT [SOURCE]: COUNT clients of one kind that mean no good, in a process of their own.

They act from a line ``on`` to a line ``off`` on stdin; ``off`` is answered by one line of JSON: what happened since
``on``, counted. The process yields the machine to all others, so that what is measured is the service and not its
neighbour.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import resource
import sys
import time
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from kit.bare_socket import BINARY, CLOSE, PING, TEXT, BareSocket, RefusedUpgrade, frame
from kit.proof import utterance
from lingua_wire import frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_NICE = 10
_CHUNK_MS = 100
#: How much faster than people speak.
_TIMES = 10
_AGAIN_S = 0.05
#: A thousand that came again at once would be a flood of connections, which is another fault.
_HALF_AGAIN_S = 5.0
_SLOW_BYTES = 1_000
_SAY_S = 0.25
_BLOCK = 64 * 1024

told: Counter[str] = Counter()


async def session(
    url: str, *extensions: str, pair: tuple[str, str] = ("en", "es"), more: str = ""
) -> tuple[BareSocket, str]:
    """Open a socket and a session on it; give its id too."""
    made = await BareSocket.open(url, more=more)
    init: dict[str, Any] = {"type": "session_init", "client_version": "1", "platform": "web"}
    init |= {"src_lang": pair[0], "tgt_lang": pair[1]}
    if extensions:
        init |= {"extensions": extensions, "audio_format": "pcm16", "vad_silence_ms": 0}
    await made.say(init)
    while True:
        kind, data = await made.receive()
        if kind == CLOSE:
            raise EOFError
        message = orjson.loads(data)
        if message["type"] == "session_init_ack":
            told["sessions"] += 1
            return made, message["session_id"]


async def listen(to: BareSocket) -> None:
    """Read until the end, and count what was told."""
    with contextlib.suppress(EOFError, OSError):
        while to.close_code is None:
            kind, data = await to.receive()
            if kind == TEXT:
                message = orjson.loads(data)
                told[message["type"] + (":" + message["code"] if message["type"] == "error" else "")] += 1
    told[f"closed:{to.close_code}"] += 1


async def send_all(made: BareSocket, blocks: AsyncIterator[bytes]) -> None:
    """Send one block after the other while what is told is read, until the other side ends it."""

    async def act() -> None:
        async for block in blocks:
            await made.send_raw(block)
            told["sent_bytes"] += len(block)

    acting = asyncio.create_task(act())
    try:
        await listen(made)
    finally:
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
        made.cut()


async def endlessly(block: bytes, first: bytes = b"") -> AsyncIterator[bytes]:
    """Give the first and then always the same."""
    yield first
    while True:
        yield block


# What one client does over one connection. It comes again when that has ended.


async def flood(url: str) -> None:
    """Speak ten times as fast as people do, in binary frames."""
    made, _ = await session(url, "binary_audio", "finalize_reports")

    async def blocks() -> AsyncIterator[bytes]:
        for seq in range(1_000_000):
            told["audio_ms"] += _CHUNK_MS
            yield frame(frames.pack(frames.Kind.CLIENT_AUDIO, utterance(_CHUNK_MS), seq=seq), BINARY)
            await asyncio.sleep(_CHUNK_MS / 1000 / _TIMES)

    await send_all(made, blocks())


async def flood_base(url: str) -> None:
    """Do the same as a client of the base protocol."""
    made, session_id = await session(url)

    async def blocks() -> AsyncIterator[bytes]:
        for seq in range(1_000_000):
            told["audio_ms"] += _CHUNK_MS
            payload = base64.b64encode(utterance(_CHUNK_MS)).decode()
            said = {"type": "audio_chunk", "session_id": session_id, "seq": seq, "is_final": False, "payload": payload}
            yield frame(orjson.dumps(said))
            await asyncio.sleep(_CHUNK_MS / 1000 / _TIMES)

    await send_all(made, blocks())


async def length(url: str) -> None:
    """Declare a frame of 2^62 bytes, and begin it."""
    made, _ = await session(url, "finalize_reports")
    await send_all(made, endlessly(bytes(_BLOCK), b"\x82\xff" + (1 << 62).to_bytes(8, "big") + bytes(4)))


async def bomb(url: str) -> None:
    """Ask for compression, and send a thousand times as much as it weighs."""
    made, _ = await session(url, "finalize_reports", more="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    told["compression granted"] += "permessage-deflate" in made.answer.lower()
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    small = squeezer.compress(bytes(1_000_000)) + squeezer.flush(zlib.Z_SYNC_FLUSH)[:-4]
    await send_all(made, endlessly(frame(small, TEXT, reserved=0x40)))


async def fragments(url: str) -> None:
    """Send a message in fragments, without end."""
    made, _ = await session(url, "finalize_reports")
    await send_all(made, endlessly(frame(bytes(1_000), 0, fin=False), frame(b"{", TEXT, fin=False)))


async def empty(url: str) -> None:
    """Send a message in empty fragments, without end: no bound of bytes meets them."""
    made, _ = await session(url)
    more = frame(b"", 0, fin=False)
    await send_all(made, endlessly(more * (_BLOCK // len(more)), frame(b"", TEXT, fin=False)))


async def pings(url: str) -> None:
    """Send pings without end, which are to be answered."""
    made, _ = await session(url)
    one = frame(b"x", PING)
    await send_all(made, endlessly(one * (_BLOCK // len(one))))


async def stopped(url: str) -> None:
    """Say one thing after the other in a language with long answers, and read none."""
    made, session_id = await session(url, "finalize_reports", "resume", pair=("fr", "it"))
    await _talk_on(made, session_id)


async def slow(url: str) -> None:
    """Do the same, and read a thousand bytes a second."""
    made, session_id = await session(url, "finalize_reports", "resume", pair=("fr", "it"))
    reading = asyncio.create_task(_sip(made))
    try:
        await _talk_on(made, session_id)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _talk_on(made: BareSocket, session_id: str) -> None:
    began_s = time.monotonic()
    try:
        for index in range(1_000_000):
            said = {"type": "utterance", "session_id": session_id, "utterance_index": index, "manual_cut": True}
            said |= {"src_lang": "fr", "tgt_lang": "it", "audio_format": "pcm16", "sample_rate": 16_000}
            await made.say(said | {"audio": base64.b64encode(utterance(300)).decode()})
            told["said"] += 1
            await asyncio.sleep(_SAY_S)
    except OSError:
        told["cut off"] += 1
        told["longest_ms"] = max(told["longest_ms"], round(1000 * (time.monotonic() - began_s)))
    finally:
        made.cut()


async def _sip(made: BareSocket) -> None:
    with contextlib.suppress(OSError):
        while data := await asyncio.get_running_loop().sock_recv(made.held, _SLOW_BYTES):
            told["read_bytes"] += len(data)
            await asyncio.sleep(1)


async def half(url: str, source: str) -> None:
    """Send half a handshake, and one more letter now and then."""
    made = await BareSocket.dial(url, source)
    told["half handshakes"] += 1
    ended = asyncio.create_task(made.until_closed())
    try:
        await made.send_raw(b"GET /ws/session HTTP/1.1\r\nHost: here\r\nX-Slow: ")
        while not ended.done():
            await made.send_raw(b"x")
            await asyncio.wait([ended], timeout=1)
    finally:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
        made.cut()
    told["let go"] += 1


async def _again_and_again(act: Callable[..., Any], *args: str) -> None:
    again_s = _HALF_AGAIN_S if act is half else _AGAIN_S
    while True:
        try:
            await act(*args)
        except RefusedUpgrade as refusal:
            told[f"refused:{refusal.status}"] += 1
        except (OSError, EOFError):
            told["broken"] += 1
        await asyncio.sleep(again_s)


async def main(kind: str, url: str, count: int, source: str = "") -> None:
    """Obey until stdin ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    args = (url, source) if kind == "half" else (url,)
    acting: list[asyncio.Task[None]] = []
    while word := (await lines.readline()).decode().strip():
        for task in acting:
            task.cancel()
        await asyncio.gather(*acting, return_exceptions=True)
        if word == "on":
            told.clear()
            acting = [asyncio.create_task(_again_and_again(globals()[kind], *args)) for _ in range(count)]
        else:
            acting = []
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    os.nice(_NICE)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:]))
