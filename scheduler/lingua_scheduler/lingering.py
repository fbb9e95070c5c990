"""A WebSocket for peers that nobody knows: what is no message is bounded, and who is cut off can read why."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from lingua_scheduler.clock import now_ms
from lingua_scheduler.sessions.pace_bytes import BytePace
from lingua_scheduler.unfinished import Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import WSMessage
    from aiohttp.http import WebSocketReader, WebSocketWriter
    from aiohttp.web_request import BaseRequest

#: How long a peer that was cut off may take to read the close frame and end its side.
LINGER_S: Final = 2.0
#: How much of what it still sends is read meanwhile.
LINGER_BYTES: Final = 64 * 1024 * 1024
_LOOK_S: Final = 0.02
#: Control frames a second, and at once; a peer that sends more is read more slowly.
CONTROLS_PER_S: Final = 20
CONTROLS_AT_ONCE: Final = 200
_CONTROLS: Final = (WSMsgType.PING, WSMsgType.PONG)


class LingeringSocket(web.WebSocketResponse):
    """A socket without compression that is closed 1008 when something comes for ``message_ms``, or twice the bytes a
    message may have, and no message comes of it.

    After a frame that broke the protocol it is half-closed, and read on for a while without looking. Closing at once
    would answer bytes that are still under way with a reset, and a reset makes the peer's system drop the close frame
    it has not read yet (RFC 6455 7.1.1, RFC 9112 9.6).
    """

    _half_closed = False

    def __init__(self, *, message_bytes: int, message_ms: int, ping_ms: int, protocols: tuple[str, ...] = ()) -> None:
        super().__init__(
            compress=False, heartbeat=ping_ms / 1000, max_msg_size=message_bytes, decode_text=False, autoping=False,
            protocols=protocols, timeout=2.0,
        )  # fmt: skip
        self._unfinished = Unfinished(2 * message_bytes, message_ms / 1000)
        self._controls = BytePace(CONTROLS_PER_S, CONTROLS_AT_ONCE, now_ms())
        self._awaiting = False
        self._unread_bytes = 0

    async def receive(self, timeout: float | None = None) -> WSMessage:
        """Wait for the next message; control frames are answered here, and no faster than allowed."""
        while True:
            self._awaiting = True
            try:
                packet: WSMessage = await super().receive(timeout)
            finally:
                self._awaiting = False
            if packet.type not in _CONTROLS:
                self._unfinished.message()
                return packet
            self._unfinished.control(len(packet.data))
            if pause_ms := self._controls.take(1, now_ms()):
                await asyncio.sleep(pause_ms / 1000)
            if packet.type is WSMsgType.PING and not self.closed:
                await self.pong(packet.data)

    async def linger(self) -> None:
        """Wait until the peer has ended its side too, where this side is half-closed; at most :data:`LINGER_S`."""
        end_s = time.monotonic() + LINGER_S
        while self._half_closed and self._req is not None and (transport := self._req.transport) is not None:
            if transport.is_closing() or time.monotonic() >= end_s:
                return
            await asyncio.sleep(_LOOK_S)

    def _post_start(self, request: BaseRequest, protocol: str | None, writer: WebSocketWriter) -> None:
        super()._post_start(request, protocol, writer)
        if self._parser is not None:  # it is, from here on
            request.protocol._payload_parser = _Gauge(self._parser, self._arrived)

    def _on_data_received(self) -> None:
        if not self.closed:
            super()._on_data_received()

    def _arrived(self, size_bytes: int) -> None:
        """Count what came, and read no more of it where it is too much."""
        if self._reader is None:
            return
        if self._reader.exception() is not None:
            self._unread_bytes += size_bytes
            if self._unread_bytes > LINGER_BYTES:
                self._stop_reading()
        elif self._awaiting and self._unfinished.arrived(size_bytes, time.monotonic()):
            self._stop_reading()
            self._reader.set_exception(WebSocketError(WSCloseCode.POLICY_VIOLATION, "no message comes of what is sent"))

    def _stop_reading(self) -> None:
        transport = self._req.transport if self._req is not None else None
        if transport is not None and not transport.is_closing():
            transport.pause_reading()

    def _close_transport(self) -> None:
        transport = self._req.transport if self._req is not None else None
        if transport is None:
            return
        broken = self._reader.exception() if self._reader is not None else None
        if isinstance(broken, WebSocketError):
            self._close_code = broken.code
            if transport.can_write_eof():
                self._half_closed = True
                transport.write_eof()
                return
        if self._close_code == WSCloseCode.ABNORMAL_CLOSURE:
            transport.abort()  # a peer that is lost takes nothing: an orderly close would wait for it for ever
        else:
            transport.close()


class _Gauge:
    """Stands before a parser and tells how much came, also when the parser takes no more."""

    def __init__(self, parser: WebSocketReader, arrived: Callable[[int], None]) -> None:
        self._parser = parser
        self._arrived = arrived

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Hand on what came; never the end of it, which the socket decides."""
        self._parser.feed_data(data)
        self._arrived(len(data))
        return False, b""

    def feed_eof(self) -> None:
        """Hand on the end."""
        self._parser.feed_eof()
