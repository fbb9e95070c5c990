"""Know that a write is on a replica before anybody is told of it: a barrier, one for all who wait at the same time.

``WAIT`` blocks its connection, so it has one of its own beside the shared one. There it would know nothing of what the
shared one wrote, so it follows a write of its own: a replica that has that has all that this server wrote before. Both
connections must be to the same process, or the barrier would be one of another history. Why so: docs/adr/0005.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from lingua_state.multiplexed import ConnectionLost, ReplyError, Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lingua_state.multiplexed import Connection

Profile: TypeAlias = Literal["standalone", "durable"]

#: How long the barrier's key lives; nobody reads it.
_KEY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a write must have before it counts.

    :param key: what the barrier writes; of the cell. :param replicas: that must have the write.
    :param patience_ms: how long they have for it.
    """

    key: str
    replicas: int = 1
    patience_ms: int = 100


class Barrier:
    """Confirms what one process of a server has written.

    :param dial: opens another connection to that very process. :raises ConnectionLost: it is another one by now.
    """

    def __init__(self, wanted: Confirmation, dial: Callable[[], Awaitable[Connection]]) -> None:
        self._wanted = wanted
        self._dial = dial
        self._connection: Connection | None = None
        self._next: asyncio.Future[Exception | None] | None = None
        self._runs: asyncio.Task[None] | None = None
        self.rounds = 0

    async def confirm(self) -> None:
        """Return when all that the server wrote before this call is on enough replicas.

        :raises Unconfirmed: it is not, in time; it may be later. :raises ReplyError: the server takes no writes.
        :raises ConnectionLost: nobody can tell.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if self._runs is None:
            self._runs = asyncio.create_task(self._run(), name="store-barrier")
        trouble = await asyncio.shield(self._next)
        if trouble is not None:
            raise type(trouble)(str(trouble)) from trouble

    async def close(self) -> None:
        """End the connection; who waits is told that nobody can tell."""
        if self._runs is not None:
            self._runs.cancel()
            await asyncio.wait([self._runs])
        if self._connection is not None:
            self._connection.abandon("closed")
            await self._connection.ended()

    async def _run(self) -> None:
        """Go on, one round after the other, while anybody waits: who comes during a round is of the next one."""
        waiting: asyncio.Future[Exception | None] | None = None
        try:
            while self._next is not None:
                waiting, self._next = self._next, None
                waiting.set_result(await self._round())
        finally:
            self._runs = None
            for left in (waiting, self._next):
                if left is not None and not left.done():
                    left.set_result(ConnectionLost("the store was closed"))
            self._next = None

    async def _round(self) -> Exception | None:
        self.rounds += 1
        wanted = self._wanted
        try:
            if self._connection is None or not self._connection.usable:
                self._connection = await self._dial()
            wrote = self._connection.request("SET", wanted.key, self.rounds, "PX", _KEY_MS)
            waited = self._connection.request("WAIT", wanted.replicas, wanted.patience_ms)
            outcome = await asyncio.gather(wrote, waited, return_exceptions=True)
        except (ConnectionLost, ReplyError) as error:
            return error
        return _judge(outcome, wanted.replicas)


def _judge(outcome: tuple[object, object], replicas: int) -> Exception | None:
    for error in outcome:
        if isinstance(error, Exception):
            return error
    if int(str(outcome[1])) < replicas:
        return Unconfirmed(f"{outcome[1]} of {replicas} replicas have it")
    return None
