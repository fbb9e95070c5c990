"""A web page as it speaks to the scheduler: Plan A Opus in JSON, finals after each silent chunk, nothing negotiated."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from kit.eventually import PATIENCE_S, eventually
from kit.speech import plan_a_packets, silence
from lingua_wire import plan_a

if TYPE_CHECKING:
    import array
    from collections.abc import Iterable
    from types import TracebackType

Event = dict[str, Any]

#: A page sends 13 packets of 20 ms for each 256 ms it records.
PACKETS = 13
CHUNK_MS = PACKETS * 20
#: In each pause a page goes on with so many silent chunks, each with a final of its own.
SILENT_CHUNKS = 7


def chunks_of(pcm: array.array[int]) -> list[bytes]:
    """Encode speech as the payloads of a page's chunks."""
    packets = plan_a_packets(pcm)
    return [plan_a.join(packets[at : at + PACKETS]) for at in range(0, len(packets), PACKETS)]


def silent_chunk() -> bytes:
    """Encode a chunk of silence."""
    return chunks_of(silence(CHUNK_MS / 1000))[0]


class Page:
    """One socket of one page. ``events`` is everything it was told, in order."""

    def __init__(self, url: str, *, first_seq: int = 0) -> None:
        self.url = url
        self.events: list[Event] = []
        self.seq = first_seq
        self.session_id = ""
        self.trace_id = "3f0cf3a8-6b3e-4d55-9a5e-6a1d5c4a1f00"
        self._http: aiohttp.ClientSession
        self._socket: aiohttp.ClientWebSocketResponse
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(f"{self.url}/ws/session", max_msg_size=0)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()
        await self._reading
        await self._http.close()

    async def open(self, **changes: Any) -> Event:
        """Open a session for two speakers, Chinese and English, and return the acknowledgement."""
        languages = {"src_lang": "auto", "tgt_lang": "en", "lang_a": "zh", "lang_b": "en", "auto_langs": ["zh", "en"]}
        return await self._open({"mode": "two_way_auto"} | languages | changes)

    async def open_one_way(self) -> Event:
        """Open a session as a page does for a room."""
        return await self._open({"mode": "one_way", "src_lang": "zh", "tgt_lang": "en"})

    async def _open(self, fields: Event) -> Event:
        """Send ``session_init`` as a page does, with its nulls."""
        base: Event = {
            "type": "session_init",
            "client_version": "web-client-v1.0",
            "platform": "web",
            "dialect": None,
            "features": {},
            "pairing_code": None,
            "trace_id": self.trace_id,
            "tenant_id": None,
        }
        await self.send(base | fields)
        ack = await self.event("session_init_ack")
        self.session_id = ack["session_id"]
        return ack

    async def send(self, message: Event) -> None:
        """Send any message."""
        await self._socket.send_str(json.dumps(message, ensure_ascii=False))

    async def chunk(self, payload: bytes, *, seq: int | None = None) -> None:
        """Send one chunk of audio."""
        await self._send_audio(payload, final=False, seq=seq)

    async def final(self, *, seq: int | None = None) -> None:
        """Send the end of an utterance: a chunk without audio."""
        await self._send_audio(b"", final=True, seq=seq)

    async def say(self, payloads: Iterable[bytes]) -> None:
        """Send speech and its final."""
        for payload in payloads:
            await self.chunk(payload)
        await self.final()

    async def pause(self, payload: bytes) -> None:
        """Be silent as a page is after its final."""
        for _ in range(SILENT_CHUNKS):
            await self.chunk(payload)
            await self.final()

    def all(self, kind: str) -> list[Event]:
        """List the events of one type."""
        return [event for event in self.events if event["type"] == kind]

    async def event(self, kind: str, *, nth: int = 1, within_s: float = PATIENCE_S) -> Event:
        """Wait for the nth event of a type."""
        found = await eventually(lambda: self.all(kind)[nth - 1 :], within_s=within_s, what=f"{kind} {nth}")
        first: Event = found[0]
        return first

    @property
    def closed(self) -> bool:
        """Tell whether the scheduler closed the socket."""
        return self._socket.closed

    @property
    def close_code(self) -> int | None:
        """Tell with which code."""
        return self._socket.close_code

    async def _send_audio(self, payload: bytes, *, final: bool, seq: int | None) -> None:
        if seq is None:
            seq, self.seq = self.seq, self.seq + 1
        await self.send(
            {
                "type": "audio_chunk",
                "session_id": self.session_id,
                "seq": seq,
                "is_final": final,
                "payload": base64.b64encode(payload).decode(),
            }
        )

    async def _read(self) -> None:
        async for message in self._socket:
            assert message.type is aiohttp.WSMsgType.TEXT, "a page reads JSON only"
            self.events.append(json.loads(message.data))
