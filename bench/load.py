"""The load: many clients and instant nodes in one process, over real sockets, on one clock.

Sessions send on a fixed schedule whatever the answers do (no coordinated omission); ``Tally.lag_ms`` tells how far the
load itself fell behind, so that a run whose load was late can be thrown away.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from aiohttp import WSMsgType

from lingua_wire import audio, frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

FRAME_MS = 100
FRAME_BYTES = FRAME_MS * 32
SPEECH = bytes(32_000)
SPEECH_BASE64 = audio.encode_base64(SPEECH)


def now_ms() -> float:
    """Read the one clock of the load, in milliseconds."""
    return time.perf_counter() * 1000


@dataclass(slots=True)
class Tally:
    """What was seen, in milliseconds of the load's clock."""

    sent: dict[tuple[str, int], float] = field(default_factory=dict)
    delays_ms: list[float] = field(default_factory=list)
    lag_ms: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def arrived(self, session: str, number: int) -> None:
        """Count a result: the node answers in the turn of the loop in which it got the job, so its time is out."""
        if (session, number) in self.sent:
            self.delays_ms.append(now_ms() - self.sent.pop((session, number)))


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector out of what is measured: a round over this process stops every client at once, and of
    few samples those it hits are the slowest hundredth."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@asynccontextmanager
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client without limits of its own."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def dial(client: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    """Open one socket, without compression."""
    return await client.ws_connect(url, max_msg_size=8 * 1024 * 1024, compress=0, autoping=True)


def _register(node_id: str, extensions: Sequence[str], capacity: int) -> dict[str, Any]:
    return {
        "type": "node_register",
        "node_id": node_id,
        "version": "bench",
        "platform": "linux",
        "hardware": {"cpu_cores": 1, "memory_gb": 1},
        "installed_models": [],
        "installed_services": [
            {"service_id": kind, "type": kind, "device": "gpu", "status": "running"} for kind in ("asr", "nmt", "tts")
        ],
        "capability_by_type": [{"type": kind, "ready": True} for kind in ("asr", "nmt", "tts")],
        "features_supported": {},
        "accept_public_jobs": True,
        "language_capabilities": {"asr_languages": ["en", "es"], "tts_languages": ["en", "es"]},
        "extensions": list(extensions),
        "max_jobs": capacity,
    }


class InstantNode:
    """A node that answers at once. ``hold`` makes it acknowledge and keep the job instead."""

    def __init__(self, node_id: str, *, base: bool, hold: bool = False, capacity: int = 1000) -> None:
        self.node_id = node_id
        self.base = base
        self.hold = hold
        self.capacity = capacity
        self.jobs = 0
        self._assigned: dict[str, dict[str, Any]] = {}

    async def serve(self, client: aiohttp.ClientSession, url: str, ready: asyncio.Event) -> None:
        """Register and answer jobs until cancelled."""
        socket = await dial(client, url + "/ws/node")
        extensions = () if self.base else ("binary_audio",)
        await socket.send_str(orjson.dumps(_register(self.node_id, extensions, self.capacity)).decode())
        beats = asyncio.create_task(self._beat(socket))
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    await self._audio(socket, message.data)
                elif message.type is WSMsgType.TEXT:
                    await self._text(socket, orjson.loads(message.data), ready)
        finally:
            beats.cancel()

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await asyncio.sleep(5)
            beat = {
                "type": "node_heartbeat",
                "node_id": self.node_id,
                "timestamp": int(time.time() * 1000),
                "resource_usage": {"cpu_percent": 1.0, "mem_percent": 1.0, "running_jobs": 0},
                "installed_services": [],
                "capability_by_type": [],
            }
            await socket.send_str(orjson.dumps(beat).decode())

    async def _text(
        self, socket: aiohttp.ClientWebSocketResponse, message: dict[str, Any], ready: asyncio.Event
    ) -> None:
        if message["type"] == "node_register_ack":
            self.node_id = message["node_id"]
            ready.set()
        elif message["type"] == "job_assign":
            if message.get("audio_follows"):
                self._assigned[message["job_id"]] = message
            else:
                await self._work(socket, message)

    async def _audio(self, socket: aiohttp.ClientWebSocketResponse, data: bytes) -> None:
        await self._work(socket, self._assigned.pop(frames.unpack(data).key))

    async def _work(self, socket: aiohttp.ClientWebSocketResponse, job: dict[str, Any]) -> None:
        self.jobs += 1
        word = {name: job[name] for name in ("job_id", "attempt_id", "session_id", "trace_id")}
        word["node_id"] = self.node_id
        if not self.base:
            await socket.send_str(orjson.dumps({"type": "job_ack", **word}).decode())
        if not self.hold:
            await self._result(socket, job, word)

    async def _result(self, socket: aiohttp.ClientWebSocketResponse, job: dict[str, Any], word: dict[str, Any]) -> None:
        result = {
            "type": "job_result",
            **word,
            "utterance_index": job["utterance_index"],
            "success": True,
            "text_asr": "go forward ten meters",
            "text_translated": "sigue diez metros",
            "tts_format": "pcm16",
        }
        if self.base:
            await socket.send_str(orjson.dumps({**result, "tts_audio": SPEECH_BASE64}).decode())
            return
        await socket.send_str(orjson.dumps({**result, "audio_follows": True, "tts_sample_rate": 16_000}).decode())
        await socket.send_bytes(frames.pack(frames.Kind.JOB_TTS, SPEECH, key=word["job_id"], last=True))


@asynccontextmanager
async def nodes(client: aiohttp.ClientSession, url: str, members: Sequence[InstantNode]) -> AsyncIterator[None]:
    """Keep nodes connected while the block runs."""
    events = [asyncio.Event() for _ in members]
    tasks = [asyncio.create_task(node.serve(client, url, event)) for node, event in zip(members, events, strict=True)]
    try:
        async with asyncio.timeout(20):
            await asyncio.gather(*(event.wait() for event in events))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def session_init(*, base: bool) -> dict[str, Any]:
    """Write the first message of a client."""
    message: dict[str, Any] = {
        "type": "session_init",
        "client_version": "bench",
        "platform": "api-gateway",
        "src_lang": "en",
        "tgt_lang": "es",
    }
    if not base:
        message |= {
            "extensions": ["binary_audio", "audio_ack", "finalize_reports"],
            "audio_format": "pcm16",
            "sample_rate": 16_000,
            "vad_silence_ms": 0,
        }
    return message


async def open_session(
    client: aiohttp.ClientSession, url: str, *, base: bool
) -> tuple[aiohttp.ClientWebSocketResponse, str]:
    """Open a session and wait for its acknowledgement."""
    socket = await dial(client, url + "/ws/session")
    await socket.send_str(orjson.dumps(session_init(base=base)).decode())
    while True:
        ack = orjson.loads(await socket.receive_str(timeout=20))
        if ack["type"] == "session_init_ack":
            return socket, ack["session_id"]


async def open_sessions(
    client: aiohttp.ClientSession, url: str, count: int, stack: AsyncExitStack, *, base: bool
) -> list[tuple[aiohttp.ClientWebSocketResponse, str]]:
    """Open ``count`` sessions, 50 at a time; they close with ``stack``."""
    opened: list[tuple[aiohttp.ClientWebSocketResponse, str]] = []
    for start in range(0, count, 50):
        batch = await asyncio.gather(*(open_session(client, url, base=base) for _ in range(min(50, count - start))))
        opened += batch
    for socket, _ in opened:
        stack.push_async_callback(socket.close)
    return opened


async def speak(
    socket: aiohttp.ClientWebSocketResponse, name: str, speech: bytes, tally: Tally, *, utterances: int, start_ms: float
) -> None:
    """Stream ``speech`` in 100 ms frames at real time, ``utterances`` times over, ending each with LAST."""
    pieces = [speech[at : at + FRAME_BYTES] for at in range(0, len(speech), FRAME_BYTES)]
    seq = 0
    due = start_ms
    for number in range(utterances):
        for place, piece in enumerate(pieces):
            due += FRAME_MS
            await asyncio.sleep(max(0.0, (due - now_ms()) / 1000))
            last = place == len(pieces) - 1
            frame = frames.pack(frames.Kind.CLIENT_AUDIO, piece, seq=seq, samples=len(piece) // 2, last=last)
            seq += 1
            started = now_ms()
            tally.lag_ms.append(started - due)
            if last:
                tally.sent[name, number] = started
            await socket.send_bytes(frame)


async def listen(socket: aiohttp.ClientWebSocketResponse, name: str, tally: Tally) -> None:
    """Count the speech that comes back, in the order in which the utterances were spoken."""
    number = 0
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            tally.arrived(name, number)
            number += 1
        elif message.type is WSMsgType.TEXT and b'"error"' in message.data.encode()[:40]:
            tally.problems.append(message.data[:200])
