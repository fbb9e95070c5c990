"""Connections that do not come to the point: those that begin no request in time, and too many of one address.

The web server itself waits for ever for the rest of a request, so a few thousand half-sent ones would use up its
sockets.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from aiohttp import web

from lingua_scheduler.address import address_of
from lingua_scheduler.http.problems import is_upgrade
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.web_protocol import RequestHandler

    from lingua_scheduler.http.problems import Handler

#: How long a connection that has served a request may wait for its next one.
KEPT_S: Final = 75.0
_MOST_PAUSE_S: Final = 1.0


class Doorkeeper:
    """Watch one port. ``patience_s``: how long the first request may take to come; ``per_address`` 0: no limit;
    ``hops``: proxies in front."""

    def __init__(self, patience_s: float, per_address: int, hops: int = 0) -> None:
        self._hops = hops
        self._patience_s = patience_s
        self._per_address = per_address
        self._busy: set[RequestHandler] = set()
        self._used: set[RequestHandler] = set()
        self._waiting_since_s: dict[RequestHandler, float] = {}
        self._open: Counter[str] = Counter()

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note that a connection came to the point; refuse a socket too many.

        :raises WireError: RATE_LIMITED, this address has as many sockets open as it may.
        """
        connection, address = request.protocol, address_of(request, self._hops) if is_upgrade(request) else None
        if address is not None and self._per_address and self._open[address] >= self._per_address:
            raise WireError(ErrorCode.RATE_LIMITED, "this address has as many sockets open as it may")
        self._busy.add(connection)
        self._used.add(connection)
        self._count(address, 1)
        try:
            return await handler(request)
        finally:
            self._busy.discard(connection)
            self._count(address, -1)

    async def watch(self, server: web.Server) -> None:
        """Look at the connections again and again, for ever."""
        while True:
            await asyncio.sleep(min(_MOST_PAUSE_S, self._patience_s / 4))
            self.look(server.connections, time.monotonic())

    def look(self, connections: Iterable[RequestHandler], now_s: float) -> None:
        """Close the connections that have waited too long for a request."""
        before, self._waiting_since_s = self._waiting_since_s, {}
        seen = set(connections)
        self._used &= seen
        for connection in seen - self._busy:
            since_s = self._waiting_since_s[connection] = before.get(connection, now_s)
            limit_s = KEPT_S if connection in self._used else self._patience_s
            if now_s - since_s >= limit_s and connection.transport is not None:
                connection.transport.close()

    def _count(self, address: str | None, step: int) -> None:
        if address is None:
            return
        self._open[address] += step
        if not self._open[address]:
            del self._open[address]
