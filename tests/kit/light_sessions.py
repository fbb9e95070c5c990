"""light_sessions.py SEED COUNT URL...: COUNT sessions that say nothing, in one process, over bare sockets.

They do what the client library does with a connection and nothing else: open a session with ``resume``, answer pings,
beat, and, when the connection is lost, come back with the library's own full jitter, after what a refusal asks for,
with the resume token, and with a fresh session where that is too late. Each dials a random one of the addresses, as
behind a Service. One real session of the library costs ten times as much, so five thousand of them would measure the
machine.

Words on stdin: ``open`` (answered when all have a session), ``cut`` (all connections at once; answered when all are
back, or the time is over), ``close``. Each answer is one line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import resource
import sys
import time
from collections import Counter
from typing import Any

import orjson

from kit.bare_socket import CLOSE, TEXT, BareSocket, RefusedUpgrade
from lingua_client.pacing import full_jitter_ms

_BACK_S = 90.0
_BEAT_S = 20.0
#: As patient as the library, with the handshake and with each answer.
_HANDSHAKE_S, _ANSWER_S = 10.0, 15.0
_INIT: dict[str, Any] = {
    "type": "session_init", "client_version": "1", "platform": "python", "src_lang": "en", "tgt_lang": "es",
    "extensions": ["binary_audio", "audio_ack", "resume", "finalize_reports"], "audio_format": "pcm16",
}  # fmt: skip


class Light:
    """One session. ``ready`` is set while it has a connection."""

    def __init__(self, urls: list[str], told: Counter[str]) -> None:
        self._urls = urls
        self._told = told
        self._socket: BareSocket | None = None
        self._session_id = ""
        self._token = ""
        self.ready = asyncio.Event()
        self.back_s = 0.0
        self._closing = False

    async def live(self) -> None:
        """Have a session until told to close it."""
        attempt = 0
        while not self._closing:
            attempt += 1
            asked_s = 0.0
            try:
                await self._connect()
                attempt = 0
                await self._stay()
            except RefusedUpgrade as refusal:
                self._told[f"refused:{refusal.status}"] += 1
                asked_s = refusal.retry_after_s or 0.0
                self._told["told when to come again"] += asked_s > 0
            except (OSError, EOFError, TimeoutError):
                self._told["lost"] += 1
            finally:
                self.ready.clear()
                if self._socket is not None:
                    self._socket.cut()
            if not self._closing:
                await asyncio.sleep(asked_s + full_jitter_ms(max(1, attempt), random.random()) / 1000)

    def cut(self) -> None:
        """Lose the network."""
        self.ready.clear()
        if self._socket is not None:
            self._socket.shut()

    async def close(self) -> None:
        """End the session as the protocol asks."""
        self._closing = True
        if self._socket is not None and self.ready.is_set():
            with contextlib.suppress(OSError):
                await self._socket.say({"type": "session_close", "session_id": self._session_id})

    async def _connect(self) -> None:
        async with asyncio.timeout(_HANDSHAKE_S):
            self._socket = await BareSocket.open(random.choice(self._urls))
        said = _INIT | ({"session_id": self._session_id, "resume_token": self._token} if self._token else {})
        await self._socket.say(said | {"last_seq": 0})
        ack = await self._event("session_init_ack")
        if self._token:
            await self._event("session_resumed")
        self._told["resumed" if self._token else "begun"] += 1
        self._session_id, self._token = ack["session_id"], ack["resume_token"]
        self.back_s = time.monotonic()
        self.ready.set()

    async def _event(self, kind: str) -> dict[str, Any]:
        assert self._socket is not None
        async with asyncio.timeout(_ANSWER_S):
            while True:
                what, data = await self._socket.receive()
                if what == CLOSE:
                    self._refused(self._socket.close_code)
                    raise EOFError
                event: dict[str, Any] = orjson.loads(data) if what == TEXT else {}
                if event.get("type") == kind:
                    return event

    def _refused(self, close_code: int | None) -> None:
        self._told[f"closed:{close_code}"] += 1
        if close_code in (4404, 4410):
            self._token = ""

    async def _stay(self) -> None:
        assert self._socket is not None
        beating = asyncio.create_task(self._beat(self._socket))
        try:
            while True:
                what, _ = await self._socket.receive()
                if what == CLOSE:
                    raise EOFError
        finally:
            beating.cancel()

    async def _beat(self, over: BareSocket) -> None:
        with contextlib.suppress(OSError):
            while True:
                await asyncio.sleep(_BEAT_S * random.uniform(0.9, 1.1))
                await over.say({"type": "client_heartbeat", "session_id": self._session_id, "timestamp": 1})


async def main(count: int, urls: list[str]) -> None:
    """Obey until stdin ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    told: Counter[str] = Counter()
    all_of_them = [Light(urls, told) for _ in range(count)]
    tasks: list[asyncio.Task[None]] = []
    while word := (await lines.readline()).decode().strip():
        told.clear()
        began_s = time.monotonic()
        if word == "open":
            tasks = [asyncio.create_task(each.live()) for each in all_of_them]
        elif word == "cut":
            for each in all_of_them:
                each.cut()
        else:
            await asyncio.gather(*(each.close() for each in all_of_them))
            await asyncio.wait(tasks, timeout=_BACK_S)
            _answer({"left": sum(not task.done() for task in tasks)} | told)
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BACK_S):
                await asyncio.gather(*(each.ready.wait() for each in all_of_them))
        took_s = sorted(each.back_s - began_s for each in all_of_them)
        missing = sum(not each.ready.is_set() for each in all_of_them)
        _answer({"missing": missing, "median_s": took_s[count // 2], "last_s": took_s[-1]} | told)


def _answer(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    random.seed(int(sys.argv[1]))
    asyncio.run(main(int(sys.argv[2]), sys.argv[3:]))
