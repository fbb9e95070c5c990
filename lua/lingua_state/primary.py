"""The primary of a cell, wherever it is: one shared connection to it, made again when it was lost or has moved."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from lingua_state.dialer import Dialer
from lingua_state.multiplexed import ConnectionLost, NotSent, Unconfirmed

if TYPE_CHECKING:
    from lingua_state.dialer import Reached
    from lingua_state.durability import Confirmation
    from lingua_state.multiplexed import Reply, Word
    from lingua_state.routes import Address, Route

#: How often it is asked whether the primary is still where we are.
_LOOK_S = 1.0


class Primary:
    """Keeps one :class:`Connection` to the primary of a cell, and makes a new one when it was lost.

    :param confirmation: what :meth:`call_surely` waits for; None: it is like :meth:`call`.
    """

    def __init__(
        self, address: Address, route: Route, *, timeout_ms: int, limit: int, name: str,
        confirmation: Confirmation | None = None,
    ) -> None:  # fmt: skip
        self._dialer = Dialer(address, route, timeout_ms=timeout_ms, limit=limit, name=name)
        self._route = route
        self._confirmation = confirmation
        self._reached: Reached | None = None
        self._connecting: asyncio.Task[Reached] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._closed = False
        self.connects = 0

    @property
    def rounds(self) -> int:
        """Count how often replicas were waited for on this connection."""
        return self._reached.barrier.rounds if self._reached and self._reached.barrier else 0

    async def call(self, *command: Word) -> Reply:
        """Run one command, once.

        :raises ReplyError: Redis answered with an error.
        :raises ConnectionLost: the outcome is unknown. :raises NotSent: it is no use to try again.
        """
        reached = self._reached
        if reached is None or not reached.connection.usable:
            reached = await self._connected()
        return await reached.connection.request(*command)

    async def call_surely(self, *command: Word) -> Reply:
        """Run one command, once, and answer when enough replicas have what it wrote, or found written.

        :raises Unconfirmed: too few have it. :raises: as :meth:`call`.
        """
        reached = self._reached
        if reached is None or not reached.connection.usable:
            reached = await self._connected()
        return await self._sure(reached, await reached.connection.request(*command))

    def leave(self, reason: str) -> None:
        """Leave this server, since it is not (or no more) the primary; the next call looks for it."""
        if self._reached is not None:
            self._reached.connection.abandon(reason)

    def look(self) -> None:
        """Ask soon whether the primary is still where we are; leave if somebody knows it elsewhere."""
        if self._route.moves and self._looking is None and not self._closed:
            self._looking = asyncio.create_task(self._look(), name="store-look")

    async def close(self) -> None:
        """End the connection; calls in flight fail."""
        self._closed = True
        for task in (self._watching, self._looking, self._connecting):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._reached is not None:
            await self._reached.close()
        await self._route.close()

    async def _sure(self, reached: Reached, reply: Reply) -> Reply:
        if reached.barrier is None:
            return reply
        if not reached.connection.usable:
            raise ConnectionLost(reached.connection.reason)
        try:
            await reached.barrier.confirm()
        except Unconfirmed as error:
            error.again = partial(self._sure, reached, reply)
            raise
        return reply

    async def _connected(self) -> Reached:
        if self._closed:
            raise NotSent("the store was closed")
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="store-connect")
            self._connecting.add_done_callback(self._connect_done)
        return await asyncio.shield(self._connecting)

    def _connect_done(self, task: asyncio.Task[Reached]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._reached = task.result()
            self.connects += 1
            if self._route.moves and self._watching is None and not self._closed:
                self._watching = asyncio.create_task(self._watch(), name="store-watch")

    async def _connect(self) -> Reached:
        if self._reached is not None:
            await self._reached.close()
        return await self._dialer.reach(self._confirmation)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()

    async def _look(self) -> None:
        try:
            endpoint = await self._dialer.find()
        except ConnectionLost:
            return  # nobody tells: that we are cut off from who would is no reason to leave
        finally:
            self._looking = None
        if self._reached is not None and endpoint != self._reached.endpoint:
            self.leave(f"the primary is at {endpoint} now")
