"""Reach the primary of a cell: find it, connect, greet it, and see that it is one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lingua_state.durability import Barrier
from lingua_state.multiplexed import Connection, ConnectionLost, ReplyError

if TYPE_CHECKING:
    from ssl import SSLContext

    from lingua_state.durability import Confirmation
    from lingua_state.multiplexed import Reply
    from lingua_state.routes import Address, Endpoint, Route


@dataclass(frozen=True, slots=True)
class Reached:
    """A connection to a primary; ``barrier`` confirms what that very process wrote, where it is wanted."""

    endpoint: Endpoint
    connection: Connection
    barrier: Barrier | None

    async def close(self) -> None:
        """End both connections."""
        if self.barrier is not None:
            await self.barrier.close()
        self.connection.abandon("closed")
        await self.connection.ended()


class Dialer:
    """Makes connections to the primary, wherever it is at that moment."""

    def __init__(self, address: Address, route: Route, *, timeout_ms: int, limit: int, name: str) -> None:
        self._address = address
        self._route = route
        self._timeout_s = timeout_ms / 1000
        self._limit = limit
        self._name = name
        self._tls: SSLContext | None = address.tls_context()
        self._asking = asyncio.Lock()

    async def find(self) -> Endpoint:
        """Ask where the primary is.

        :raises ConnectionLost: nobody tells.
        """
        try:
            async with asyncio.timeout(self._timeout_s), self._asking:
                return await self._route.find()
        except Exception as error:  # redis-py's, the system's and asyncio's errors alike mean: not reached
            raise _not_reached(error) from error

    async def reach(self, wanted: Confirmation | None) -> Reached:
        """Connect to the primary.

        :raises ReplyError: it refuses us. :raises ConnectionLost: it could not be reached, or is none.
        """
        endpoint = await self.find()
        connection = await self._dial(endpoint)
        if wanted is None:
            return Reached(endpoint, connection, None)
        try:
            process = await _process(connection)
        except BaseException:
            connection.abandon("it does not say who it is")
            raise
        return Reached(endpoint, connection, Barrier(wanted, partial(self._beside, endpoint, connection, process)))

    async def _beside(self, endpoint: Endpoint, first: Connection, process: str) -> Connection:
        """Connect to the server of ``first`` once more; leave both when it has become another one."""
        second = await self._dial(endpoint)
        if await _process(second) != process:
            for connection in (first, second):
                connection.abandon("the server was replaced")
            raise ConnectionLost("the server was replaced")
        return second

    async def _dial(self, endpoint: Endpoint) -> Connection:
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._open(endpoint)
                await self._greet(connection)
        except ReplyError:
            raise
        except Exception as error:  # the system's and asyncio's errors alike mean: not reached
            raise _not_reached(error) from error
        return connection

    async def _open(self, endpoint: Endpoint) -> Connection:
        loop = asyncio.get_running_loop()

        def make() -> Connection:
            return Connection(self._timeout_s, self._limit)

        if endpoint.path:
            return (await loop.create_unix_connection(make, endpoint.path))[1]
        host = endpoint.host if self._tls else None
        _, connection = await loop.create_connection(
            make, endpoint.host, endpoint.port, ssl=self._tls, server_hostname=host
        )
        return connection

    async def _greet(self, connection: Connection) -> None:
        try:
            hello = await connection.request("HELLO", 3, *self._credentials(), "SETNAME", self._name)
            if self._address.db:
                await connection.request("SELECT", self._address.db)
            self._check_role(hello)
        except BaseException:
            connection.abandon("the greeting failed")
            raise

    def _check_role(self, hello: dict[str, Reply]) -> None:
        # A server whose address was given by hand is served as it is; the start-up check names its role.
        if self._address.kind != "direct" and hello.get("role") not in ("master", "primary"):
            raise ConnectionLost("the server found is not the primary")

    def _credentials(self) -> tuple[str, ...]:
        if self._address.password is None:
            return ()
        return ("AUTH", self._address.username or "default", self._address.password)


async def _process(connection: Connection) -> str:
    """Read the id that a server's process has until it ends."""
    info = str(await connection.request("INFO", "server"))
    found = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("run_id:")]
    if not found:
        raise ConnectionLost("the server does not tell its run_id")
    return found[0]


def _not_reached(error: Exception) -> ConnectionLost:
    return ConnectionLost(f"cannot reach the store: {str(error) or type(error).__name__}")
