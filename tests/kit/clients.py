"""Clients for tests, speaking the bare protocol: base ones (JSON, base64) and extended ones (binary frames)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson
from aiohttp import WSMsgType

from kit.eventually import PATIENCE_S
from kit.proof import proof, speech_of
from lingua_wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Event = dict[str, Any]
EXTENSIONS = ("binary_audio", "audio_ack", "finalize_reports")
OUTCOMES = ("translation_result", "missing_result", "utterance_failed")
_CHUNK_BYTES = 3_200


class Client:
    """One session. ``events`` is all it was told, in order; speech of binary frames is in the result's ``speech``."""

    def __init__(self, url: str, *, extensions: tuple[str, ...] = EXTENSIONS, token: str = "") -> None:
        self.url = url
        self.extensions = extensions
        self.events: list[Event] = []
        self._by_kind: defaultdict[str, list[Event]] = defaultdict(list)
        self._outcomes: list[Event] = []
        self._outcome_of: defaultdict[int, list[Event]] = defaultdict(list)
        self._all_cuts: list[Event] = []
        self.session_id = ""
        self.seq = 0
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._cuts = 0
        self._news = asyncio.Event()
        self._http: aiohttp.ClientSession
        self._socket: aiohttp.ClientWebSocketResponse
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(headers=self._headers)
        try:
            self._socket = await self._http.ws_connect(f"{self.url}/ws/session", max_msg_size=0, compress=0)
        except BaseException:
            await self._http.close()
            raise
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.close()
        await self._reading
        await self._http.close()

    @property
    def base(self) -> bool:
        """Tell whether it asks for no extension."""
        return not self.extensions

    @property
    def _binary(self) -> bool:
        return "binary_audio" in self.extensions

    @property
    def _cut_kind(self) -> str:
        return "utterance_finalized" if "finalize_reports" in self.extensions else "ui_event"

    # What it says

    async def open(self, source: str, target: str, **changes: Any) -> Event:
        """Open the session and return the acknowledgement."""
        message: Event = {
            "type": "session_init",
            "client_version": "test",
            "platform": "api-gateway",
            "src_lang": source,
            "tgt_lang": target,
        }
        if not self.base:
            message |= {"extensions": list(self.extensions), "audio_format": "pcm16", "vad_silence_ms": 0}
        await self.send(message | changes)
        ack = await self.event("session_init_ack")
        self.session_id = ack["session_id"]
        return ack

    async def resume(self, of: Client, source: str, target: str, **changes: Any) -> Event:
        """Go on with another client's session over this socket; return ``session_resumed``."""
        acks = of.all("session_init_ack")
        last_seq = max((event.get("seq") or 0 for event in of.events), default=0)
        wanted = {"session_id": of.session_id, "resume_token": acks[-1]["resume_token"], "last_seq": last_seq}
        await self.open(source, target, **(wanted | changes))
        return await self.event("session_resumed")

    async def send(self, message: Event) -> None:
        """Send a message."""
        await self._socket.send_str(orjson.dumps(message).decode())

    async def send_raw(self, data: str | bytes) -> None:
        """Send a frame as it is."""
        await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))

    async def send_frame(self, data: bytes, kind: WSMsgType) -> None:
        """Send bytes as a frame of a kind that they may not fit."""
        await self._socket.send_frame(data, kind)

    async def chunk(self, audio: bytes, *, last: bool = False, seq: int | None = None) -> None:
        """Send a chunk of audio."""
        if seq is None:
            seq, self.seq = self.seq, self.seq + 1
        if self._binary:
            await self.send_raw(frames.pack(frames.Kind.CLIENT_AUDIO, audio, seq=seq, last=last))
            return
        payload = base64.b64encode(audio).decode()
        said = {"type": "audio_chunk", "session_id": self.session_id, "seq": seq, "is_final": last, "payload": payload}
        await self.send(said)

    async def stream(self, audio: bytes, *, last: bool = True) -> None:
        """Send audio in chunks of 100 ms."""
        ends = range(_CHUNK_BYTES, len(audio) + _CHUNK_BYTES, _CHUNK_BYTES)
        for end in ends:
            await self.chunk(audio[end - _CHUNK_BYTES : end], last=last and end >= len(audio))

    async def say(self, audio: bytes) -> int:
        """Stream an utterance, wait until it is cut, and return its index."""
        self._cuts += 1
        nth = self._cuts
        await self.stream(audio)
        cut = await self.until(lambda: self.cuts()[nth - 1 :], what=f"cut {nth}")
        return int(cut[0]["utterance_index"])

    async def whole(self, index: int, audio: bytes, source: str, target: str, **changes: Any) -> None:
        """Send a whole utterance."""
        self._cuts += 1
        message = {
            "type": "utterance",
            "session_id": self.session_id,
            "utterance_index": index,
            "manual_cut": True,
            "src_lang": source,
            "tgt_lang": target,
            "audio_format": "pcm16",
            "sample_rate": 16_000,
        }
        if self._binary:
            await self.send(message | {"audio_follows": True} | changes)
            size = 200_000
            for at in range(0, max(1, len(audio)), size):
                last = at + size >= len(audio)
                part = audio[at : at + size]
                await self.send_raw(frames.pack(frames.Kind.CLIENT_UTTERANCE, part, index=index, last=last))
        else:
            await self.send(message | {"audio": base64.b64encode(audio).decode()} | changes)

    async def close(self, within_s: float = PATIENCE_S) -> int | None:
        """End the session as the protocol asks, wait for the socket's end, and return its code."""
        await self.send({"type": "session_close", "session_id": self.session_id, "reason": "done"})
        return await self.closed(within_s)

    def stop_reading(self) -> None:
        """Stay connected, and take nothing from the network any more."""
        connection = self._socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.pause_reading()

    def drop(self) -> None:
        """Lose the network."""
        cut(self._socket)

    # What it heard

    def all(self, kind: str) -> list[Event]:
        """List the events of one type."""
        return self._by_kind[kind]

    def cuts(self) -> list[Event]:
        """List what tells that an utterance was cut, with its index."""
        return self._all_cuts

    def outcomes(self) -> list[Event]:
        """List the outcomes in the order in which they came."""
        return self._outcomes

    async def event(self, kind: str, nth: int = 1, within_s: float = PATIENCE_S) -> Event:
        """Wait for the nth event of a type."""
        found = await self.until(lambda: self.all(kind)[nth - 1 :], within_s, what=f"{kind} {nth}")
        return dict(found[0])

    async def outcome(self, index: int, within_s: float = PATIENCE_S) -> Event:
        """Wait for what becomes of an utterance."""
        found = await self.until(lambda: self._outcome_of[index], within_s, what=f"the outcome of {index}")
        return dict(found[0])

    async def proven(self, index: int, audio: bytes, within_s: float = PATIENCE_S) -> Event:
        """Wait for a result and check that it is this utterance's own, text and speech."""
        result = await self.outcome(index, within_s)
        self.check(result, audio)
        return result

    def check(self, result: Event, audio: bytes) -> None:
        """Check that a result is of this audio, text and speech."""
        assert result["type"] == "translation_result", result
        text = proof(self.session_id, result["utterance_index"], audio)
        assert result["text_translated"] == text, "the result of other audio, or of another session"
        assert speech_in(result) == speech_of(text), "the speech of another result"

    async def until(self, probe: Callable[[], Any], within_s: float = PATIENCE_S, what: str = "") -> Any:
        """Wait, looking each time something is heard, until ``probe`` finds something; return that."""
        try:
            async with asyncio.timeout(within_s):
                while not (found := probe()) and not self._reading.done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            found = None
        assert found, f"not within {within_s:g} s: {what or probe}; closed: {self._socket.close_code}; last: " + str(
            [{**event, "tts_audio": ...} for event in self.events[-4:]]
        )
        return found

    async def closed(self, within_s: float = PATIENCE_S) -> int | None:
        """Wait for the end of the socket; return its code."""
        await asyncio.wait_for(asyncio.shield(self._reading), within_s)
        return self._socket.close_code

    @property
    def is_open(self) -> bool:
        """Tell whether the socket is."""
        return not self._reading.done()

    async def _read(self) -> None:
        awaited: dict[int, Event] = {}
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            async for packet in self._socket:
                if packet.type is WSMsgType.TEXT:
                    event = orjson.loads(packet.data)
                    if event.get("audio_follows"):
                        awaited[event["utterance_index"]] = event
                        continue
                elif packet.type is WSMsgType.BINARY:
                    frame = frames.unpack(packet.data)
                    event = awaited.pop(frame.index) | {"speech": bytes(frame.audio)}
                else:
                    continue
                self._note(event)
                self._news.set()
        self._news.set()

    def _note(self, event: Event) -> None:
        kind = event["type"]
        self.events.append(event)
        self._by_kind[kind].append(event)
        if kind in OUTCOMES:
            self._outcomes.append(event)
            self._outcome_of[event["utterance_index"]].append(event)
        elif kind == self._cut_kind and event.get("event", "INPUT_ENDED") == "INPUT_ENDED":
            self._all_cuts.append(event)


def speech_in(result: Event) -> bytes:
    """Read the speech of a result, however it came."""
    return bytes(result["speech"]) if "speech" in result else base64.b64decode(result.get("tts_audio") or "")


def cut(socket: aiohttp.ClientWebSocketResponse) -> None:
    """End a connection without a close frame, and without waiting for what is still to be sent."""
    response = socket._response
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
    response.close()
