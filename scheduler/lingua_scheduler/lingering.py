"""A WebSocket that lets a peer read why it was cut off, even while it still sends."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aiohttp import WebSocketError, web

#: How long a peer that was cut off may take to read the close frame and end its side.
LINGER_S: Final = 2.0
_LOOK_S: Final = 0.02


class LingeringSocket(web.WebSocketResponse):
    """Half-close after a frame that broke the protocol, and read on for a while without looking.

    Closing at once would answer bytes that are still under way with a reset, and a reset makes the peer's system drop
    the close frame it has not read yet (RFC 6455 7.1.1, RFC 9112 9.6).
    """

    _half_closed = False

    def _close_transport(self) -> None:
        transport = self._req.transport if self._req is not None else None
        broken = self._reader is not None and isinstance(self._reader.exception(), WebSocketError)
        if broken and transport is not None and transport.can_write_eof():
            self._half_closed = True
            transport.write_eof()
        else:
            super()._close_transport()

    async def linger(self) -> None:
        """Wait until the peer has ended its side too, where this side is half-closed; at most :data:`LINGER_S`."""
        end_s = time.monotonic() + LINGER_S
        while self._half_closed and self._req is not None and (transport := self._req.transport) is not None:
            if transport.is_closing() or time.monotonic() >= end_s:
                return
            await asyncio.sleep(_LOOK_S)
