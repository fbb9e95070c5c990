"""A small real scheduler for nodes: a WebSocket server that speaks the node's protocol and keeps what it hears."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from kit.eventually import PATIENCE_S, eventually
from lingua_wire import frames


@dataclass
class Line:
    """One connection of a node, as the scheduler sees it."""

    socket: web.WebSocketResponse
    messages: list[dict[str, Any]] = field(default_factory=list)
    frames: list[frames.Frame] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    async def wait(self, kind: str, count: int = 1, within_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        await eventually(lambda: len(self.of(kind)) >= count, within_s=within_s, what=f"{count} {kind}")
        return self.of(kind)

    async def send(self, message: dict[str, Any]) -> None:
        await self.socket.send_str(json.dumps(message))

    async def assign(self, speech: bytes = b"\0\0" * 8000, **fields: Any) -> dict[str, Any]:
        job = {
            "type": "job_assign",
            "job_id": "job-1",
            "attempt_id": 1,
            "session_id": "session-1",
            "utterance_index": 0,
            "src_lang": "en",
            "tgt_lang": "es",
            "pipeline": {"use_asr": True, "use_nmt": True, "use_tts": True},
            "audio": base64.b64encode(speech).decode(),
            "audio_format": "pcm16",
            "sample_rate": 16000,
            "trace_id": "trace-1",
            "turn_id": "turn-1",
            **fields,
        }
        await self.send({name: value for name, value in job.items() if value is not None})
        return job


@dataclass
class SmallScheduler:
    """Accept nodes, acknowledge them with ``ack``, and keep all they say."""

    url: str = ""
    ack: dict[str, Any] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    refuse_status: int | None = None
    headers: list[dict[str, str]] = field(default_factory=list)

    async def line(self, number: int = 1) -> Line:
        """Wait for the connection with this number, from 1, and its registration."""
        await eventually(lambda: len(self.lines) >= number, what=f"connection {number}")
        line = self.lines[number - 1]
        await line.wait("node_register")
        return line

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        if self.refuse_status is not None:
            return web.Response(status=self.refuse_status)
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        line = Line(socket)
        self.lines.append(line)
        async for got in socket:
            if got.type is WSMsgType.BINARY:
                line.frames.append(frames.unpack(got.data))
                continue
            message = json.loads(got.data)
            line.messages.append(message)
            if message["type"] == "node_register":
                named = {"node_id": message.get("node_id") or "named-by-scheduler", "message": "", "status": "ready"}
                await line.send({"type": "node_register_ack", **named, **self.ack})
        return socket
