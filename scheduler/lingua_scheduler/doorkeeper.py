"""Connections that do not come to the point: those that begin no request in time, and too many of one address.

The web server itself waits for ever for the rest of a request, so a few thousand half-sent ones would use up its
sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from lingua_scheduler.address import address_of
from lingua_scheduler.http.problems import is_upgrade
from lingua_scheduler.room import NoRoom, most_connections
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp.web_protocol import RequestHandler

    from lingua_scheduler.http.problems import Handler

#: How long a connection that has served a request may wait for its next one.
KEPT_S: Final = 75.0
#: What is left of any patience while very many wait: a slow network needs that long for a handshake.
CROWDED_S: Final = 3.0
#: What the system may hold of what was written and not yet sent.
UNSENT_BYTES: Final = 64 * 1024
_MOST_PAUSE_S: Final = 0.5
_BACKLOG: Final = 1024


class Doorkeeper:
    """Watch one port. ``patience_s``: how long the first request may take to come; ``per_address`` 0: no limit;
    ``hops``: proxies in front; ``crowd``: how many connections may wait before patience shrinks.

    ``turned_away`` counts the connections that were closed.
    """

    def __init__(self, patience_s: float, per_address: int, hops: int = 0, crowd: int = 1_000) -> None:
        self._hops = hops
        self._patience_s = patience_s
        self._per_address = per_address
        self._crowd = crowd
        self._busy: set[RequestHandler] = set()
        self._used: set[RequestHandler] = set()
        self._transports: dict[RequestHandler, asyncio.Transport] = {}
        #: Since when, oldest first.
        self._waiting_s: dict[RequestHandler, float] = {}
        self._turned: set[RequestHandler] = set()
        self._open: Counter[str] = Counter()
        self._clock_s = 0.0
        self.turned_away = 0

    def enter(self, connection: RequestHandler, transport: asyncio.Transport) -> None:
        """Note a new connection; of an address that lets too many wait, the oldest goes.

        Behind proxies the address is not known before the request is.
        """
        self._transports[connection] = transport
        if self._per_address and not self._hops:
            address = _peer(transport)
            others = [other for other in self._waiting_s if _peer(self._transports.get(other)) == address]
            for other in others[: max(0, len(others) + 1 - self._per_address)]:
                self._turn_away(other)
        self._waiting_s[connection] = self._clock_s

    @property
    def held(self) -> int:
        """Count the open connections; one that was just closed may still be among them."""
        return len(self._transports)

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note that a connection came to the point; refuse a socket too many.

        :raises WireError: RATE_LIMITED, this address has as many sockets open as it may.
        """
        connection, address = request.protocol, address_of(request, self._hops) if is_upgrade(request) else None
        if address is not None and self._per_address and self._open[address] >= self._per_address:
            raise WireError(ErrorCode.RATE_LIMITED, "this address has as many sockets open as it may")
        self._waiting_s.pop(connection, None)
        self._busy.add(connection)
        self._used.add(connection)
        self._count(address, 1)
        try:
            return await handler(request)
        finally:
            self._busy.discard(connection)
            self._count(address, -1)

    async def watch(self, server: web.Server, late: Callable[[float], None]) -> None:
        """Look at the connections again and again, for ever; tell by how many seconds this process is ``late``.

        While it is, nobody's patience runs: what they said may lie there unread.
        """
        pause_s = min(_MOST_PAUSE_S, self._patience_s / 4)
        while True:
            due_s = time.monotonic() + pause_s
            await asyncio.sleep(pause_s)
            late(time.monotonic() - due_s)
            self._clock_s += pause_s
            self.look(server.connections, self._clock_s)

    def look(self, connections: Iterable[RequestHandler], now_s: float) -> None:
        """Close the connections that have waited too long for a request."""
        self._forget_all_but(set(connections), now_s)
        most_s = CROWDED_S if len(self._waiting_s) > self._crowd else KEPT_S
        for connection, since_s in list(self._waiting_s.items()):
            limit_s = KEPT_S if connection in self._used else self._patience_s
            if now_s - since_s >= min(most_s, limit_s):
                self._turn_away(connection)

    def _forget_all_but(self, seen: set[RequestHandler], now_s: float) -> None:
        self._used &= seen
        self._transports = {one: way for one, way in self._transports.items() if one in seen}
        self._waiting_s = {one: since_s for one, since_s in self._waiting_s.items() if one in seen}
        for connection in seen - self._busy - self._turned:
            self._waiting_s.setdefault(connection, now_s)
        # Those that were closed, and take no more of what was still to be told to them.
        self._turned &= seen
        for connection in self._turned:
            if (transport := self._transports.get(connection)) is not None:
                transport.abort()

    def _turn_away(self, connection: RequestHandler) -> None:
        del self._waiting_s[connection]
        self._turned.add(connection)
        self.turned_away += 1
        transport = self._transports.get(connection) or connection.transport
        if transport is not None:
            transport.close()

    def _count(self, address: str | None, step: int) -> None:
        if address is None:
            return
        self._open[address] += step
        if not self._open[address]:
            del self._open[address]


class Entrance(web.BaseSite):
    """A port on which a doorkeeper sees every connection before it says a word."""

    def __init__(self, runner: web.AppRunner, server: web.Server, address: tuple[str, int], keeper: Doorkeeper) -> None:
        super().__init__(runner, backlog=_BACKLOG)
        self._made = server
        self._address = address
        self._keeper = keeper
        self._room = most_connections()

    @property
    def name(self) -> str:
        """Give the address."""
        return f"http://{self._address[0]}:{self._address[1]}"

    async def start(self) -> None:
        """Listen. :raises OSError: the port is taken."""
        await super().start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._newcomer, *self._address, backlog=self._backlog)

    def _newcomer(self) -> asyncio.Protocol:
        if self._keeper.held >= self._room:
            self._keeper.turned_away += 1
            return NoRoom()
        return _Newcomer(self._made(), self._keeper)


class _Newcomer(asyncio.Protocol):
    """A connection until it is made; then the web server's own protocol takes its place."""

    def __init__(self, connection: RequestHandler, keeper: Doorkeeper) -> None:
        self._connection = connection
        self._keeper = keeper

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register it, and hand it on."""
        _keep_little_unsent(transport)
        self._keeper.enter(self._connection, cast("asyncio.Transport", transport))
        transport.set_protocol(self._connection)
        self._connection.connection_made(transport)


def _keep_little_unsent(transport: asyncio.BaseTransport) -> None:
    """Let the system hold little of what a peer does not read: else minutes of it wait where nobody can see them."""
    held = transport.get_extra_info("socket")
    if held is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with contextlib.suppress(OSError):
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def _peer(transport: asyncio.BaseTransport | None) -> str:
    found = transport.get_extra_info("peername") if transport is not None else None
    return str(found[0]) if found else ""
