"""A small service that speaks the session protocol as docs/protocol.md says, written apart from the client it tests.

It "translates" by telling how many bytes an utterance had, so a test can prove which audio a result belongs to. What it
does wrong on purpose is said by :class:`Behaviour`.
"""

from __future__ import annotations

import base64
import json
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

HEADER = struct.Struct(">BBBBIII")
CLIENT_AUDIO, CLIENT_UTTERANCE, SERVER_TTS = 1, 2, 3
SPEECH = b"\x01\x00" * 1600


@dataclass
class Behaviour:
    """What the service grants and does."""

    grants: tuple[str, ...] = ("binary_audio", "audio_ack", "finalize_reports", "stable_partials")
    results_twice: bool = False
    silent: bool = False
    acks_audio: bool = True
    lose_first: bool = False
    lose_all: bool = False
    skip_all: bool = False
    refuse_status: int = 0
    refusals: int = 10**9
    close_at_init: int = 0
    close_after_bytes: int = 0
    close_code: int = 1011
    backpressure_ms: int = 0
    partials: int = 2
    unknown_first: bool = False
    garbage: bool = False
    hold_results: asyncio.Event | None = None
    tts_format: str = "pcm16"
    tts: bytes = SPEECH


@dataclass
class Service:
    """The running service and what it saw."""

    behaviour: Behaviour
    url: str = ""
    inits: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)
    utterances: list[bytes] = field(default_factory=list)
    upgrades: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    closed_by_client: list[int | None] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.upgrades += 1
        self.headers.append(dict(request.headers))
        if self.behaviour.refuse_status and self.upgrades <= self.behaviour.refusals:
            return web.json_response({"code": "X"}, status=self.behaviour.refuse_status, headers={"Retry-After": "0"})
        socket = web.WebSocketResponse(max_msg_size=4 * 1024 * 1024)
        await socket.prepare(request)
        await Conversation(self, socket).run()
        self.closed_by_client.append(socket.close_code)
        return socket


class Conversation:
    """One session."""

    def __init__(self, service: Service, socket: web.WebSocketResponse) -> None:
        self.service, self.socket, self.does = service, socket, service.behaviour
        self.pending = bytearray()
        self.parts = bytearray()
        self.index = 0
        self.start = 0
        self.total = 0
        self.granted: tuple[str, ...] = ()

    async def run(self) -> None:
        async for packet in self.socket:
            if packet.type is WSMsgType.BINARY:
                await self.on_frame(packet.data)
            elif packet.type is WSMsgType.TEXT:
                await self.on_message(json.loads(packet.data))

    async def say(self, type_: str, **fields: Any) -> None:
        if not self.socket.closed:
            await self.socket.send_str(json.dumps({"type": type_, "session_id": "s-1", **fields}))

    async def on_message(self, message: dict[str, Any]) -> None:
        self.service.messages.append(message)
        match message["type"]:
            case "session_init":
                await self.on_init(message)
            case "audio_chunk":
                await self.on_audio(base64.b64decode(message.get("payload") or ""))
                if message["is_final"]:
                    await self.finalize(message.get("client_utterance_id"))
            case "utterance":
                await self.on_utterance(message)
            case "session_close":
                await self.say("session_close_ack")
                await self.socket.close()

    async def on_init(self, message: dict[str, Any]) -> None:
        self.service.inits.append(message)
        if self.does.close_at_init:
            await self.say("error", code="PAIR_NOT_OFFERED", message="no such pair")
            await self.socket.close(code=self.does.close_at_init)
            return
        self.granted = tuple(name for name in self.does.grants if name in message.get("extensions", []))
        if self.does.unknown_first:
            await self.say("weather_report", text="sunny")
        granted = {"extensions": list(self.granted)} if self.granted else {}
        await self.say("session_init_ack", message="ok", trace_id=message["trace_id"], **granted)
        if self.does.garbage:
            await self.socket.send_str("{not json")

    async def on_frame(self, data: bytes) -> None:
        _version, kind, flags, _key, index, _seq, _samples = HEADER.unpack_from(data)
        if kind == CLIENT_AUDIO:
            await self.on_audio(data[HEADER.size :])
        elif kind == CLIENT_UTTERANCE:
            self.parts += data[HEADER.size :]
            if flags & 1:
                pcm, self.parts = bytes(self.parts), bytearray()
                await self.whole(index, pcm)

    async def on_audio(self, pcm: bytes) -> None:
        self.pending += pcm
        self.service.audio += pcm
        self.total += len(pcm) // 2
        if self.does.backpressure_ms and pcm:
            wait_ms, self.does.backpressure_ms = self.does.backpressure_ms, 0
            await self.say("backpressure", reason="rate", retry_after_ms=wait_ms)
        if self.does.close_after_bytes and len(self.service.audio) >= self.does.close_after_bytes:
            await self.say("error", code="INTERNAL_ERROR", message="a fault")
            await self.socket.close(code=self.does.close_code)
        elif "audio_ack" in self.granted and self.does.acks_audio:
            await self.ack()

    async def ack(self) -> None:
        # All is with a node at once, and may still be lost with it: only what is consumed may be forgotten.
        await self.say(
            "audio_ack", received=self.total, accepted=self.total, consumed=self.start, buffered_ms=0, lag_ms=0
        )

    async def finalize(self, client_id: str | None) -> None:
        index, pcm, start = self.index, bytes(self.pending), self.start
        self.pending.clear()
        if self.does.skip_all:
            if "finalize_reports" in self.granted:
                await self.say("utterance_skipped", reason="no_speech", client_utterance_id=client_id)
            return
        self.index += 1
        if "finalize_reports" in self.granted:
            await self.cut(index, start, client_id)
        self.start = self.total
        if self.does.lose_all or (self.does.lose_first and index == 0):
            await self.lose(index, start)
            return
        await self.answer(index, pcm)

    async def lose(self, index: int, start: int) -> None:
        span = {"resend_from_sample": start, "resend_to_sample": self.total}
        await self.say("utterance_failed", utterance_index=index, code="WS_DISCONNECTED", retryable=True, **span)

    async def cut(self, index: int, start: int, client_id: str | None) -> None:
        cut = {"start_ms": start // 16, "end_ms": self.total // 16, "reason": "IsFinal", "continues": False}
        await self.say("utterance_finalized", utterance_index=index, client_utterance_id=client_id, **cut)

    async def on_utterance(self, message: dict[str, Any]) -> None:
        if not message.get("audio_follows"):
            await self.whole(message["utterance_index"], base64.b64decode(message["audio"]))

    async def whole(self, index: int, pcm: bytes) -> None:
        self.total += len(pcm) // 2
        self.start = self.total
        self.index = max(self.index, index + 1)
        if "finalize_reports" in self.granted:
            await self.cut(index, self.total - len(pcm) // 2, None)
        if self.does.lose_all:
            self.service.utterances.append(pcm)
            await self.lose(index, self.total - len(pcm) // 2)
            return
        await self.answer(index, pcm)

    async def answer(self, index: int, pcm: bytes) -> None:
        self.service.utterances.append(pcm)
        if self.does.silent:
            return
        for count in range(1, self.does.partials + 1):
            fields = {"job_id": f"j-{index}", "trace_id": "t", "is_final": False}
            await self.say("asr_partial", utterance_index=index, text="word " * count, **fields)
        if self.does.hold_results is not None:
            await self.does.hold_results.wait()
        for _ in range(2 if self.does.results_twice else 1):
            await self.result(index, pcm)

    async def result(self, index: int, pcm: bytes) -> None:
        binary = "binary_audio" in self.granted
        sound = {"audio_follows": True} if binary else {"tts_audio": base64.b64encode(self.does.tts).decode()}
        await self.say(
            "translation_result",
            utterance_index=index,
            job_id=f"j-{index}",
            text_asr=f"heard {len(pcm)}",
            text_translated=f"translated {len(pcm)}",
            tts_format=self.does.tts_format,
            extra={"node_id": "n-1"},
            trace_id="t",
            service_timings={"asr_ms": 5, "nmt_ms": 2, "tts_ms": 3.5, "total_ms": 11},
            **sound,
        )
        if binary and not self.socket.closed:
            half = len(self.does.tts) // 2 & ~1
            for seq, (part, last) in enumerate(((self.does.tts[:half], 0), (self.does.tts[half:], 1))):
                await self.socket.send_bytes(HEADER.pack(1, SERVER_TTS, last, 0, index, seq, 0) + part)


@asynccontextmanager
async def protocol_server(behaviour: Behaviour | None = None) -> AsyncIterator[Service]:
    """Run the service on a free port."""
    service = Service(behaviour or Behaviour())
    app = web.Application()
    app.router.add_get("/ws/session", service.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield service
    finally:
        await runner.cleanup()
