"""One connection that many concurrent calls share: requests go out in order, replies come back in order.

The calls of one turn of the event loop are written at once. It must never carry a command that blocks (WAIT, BLPOP,
XREAD BLOCK) or a subscription: everybody else would wait behind it. Why it exists: docs/adr/0003. In the durable
profile a second one carries the barrier (:mod:`lingua_state.durability`).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

import hiredis

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: A word of a command.
Word: TypeAlias = str | int | float | bytes
#: Whatever RESP can say: text, a number, None, or a list or dict of these.
Reply: TypeAlias = Any
_NOTHING = object()


class ReplyError(Exception):
    """An error that Redis answered with. ``word`` is its first word, such as ``NOSCRIPT`` or ``READONLY``."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.word = message.partition(" ")[0]


class ConnectionLost(Exception):
    """The connection could not be made, or ended before the reply: what was asked may or may not have happened."""


class Unconfirmed(Exception):
    """It was done, but too few replicas have it: if this server is lost, so may it be.

    ``again`` waits for them once more and returns the first reply, which says more than that of a repeated call.
    """

    again: Callable[[], Awaitable[Reply]] | None = None


class NotSent(Exception):
    """Too many calls are in flight already, or the store was closed; trying again does not help."""


class Connection(asyncio.Protocol):
    """One socket to one server.

    A call that gets no reply within ``timeout_s`` ends the connection, since all later replies are behind it. One timer
    watches the oldest call; there is none per call.
    """

    def __init__(self, timeout_s: float, limit: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._limit = limit
        self._transport: asyncio.Transport | None = None
        self._reader = _reader()
        self._waiting: deque[tuple[asyncio.Future[Reply], float]] = deque()
        self._outgoing: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._ended = self._loop.create_future()
        self.reason: str = ""

    @property
    def usable(self) -> bool:
        """Say whether calls may be made."""
        return self._transport is not None and not self.reason

    def request(self, *command: Word) -> asyncio.Future[Reply]:
        """Send one command with what else is sent in this turn of the loop.

        :raises ConnectionLost: the connection has ended. :raises NotSent: too many calls are in flight.
        """
        if not self.usable:
            raise ConnectionLost(self.reason or "not connected")
        if len(self._waiting) >= self._limit:
            raise NotSent(f"{self._limit} calls are in flight")
        packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # the stub allows one word only
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        future = self._loop.create_future()
        self._waiting.append((future, self._loop.time()))
        return future

    def abandon(self, reason: str) -> None:
        """End the connection; calls in flight fail with ``reason``."""
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    async def ended(self) -> None:
        """Wait until the socket is gone."""
        await asyncio.shield(self._ended)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to watch the oldest call."""
        self._transport = transport  # type: ignore[assignment]
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._watch_later()

    def data_received(self, data: bytes) -> None:
        """Give every whole reply to the call that waits for it."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOTHING:
                if not isinstance(reply, hiredis.PushNotification):
                    self._answer(reply)
        except (hiredis.HiredisError, IndexError) as error:
            self.abandon(f"the server broke the protocol: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what is in flight."""
        self._end(f"connection lost: {error}" if error else "the server closed the connection")
        self._transport = None
        if not self._ended.done():
            self._ended.set_result(None)

    # Inside

    def _flush(self) -> None:
        if self.usable and self._transport is not None:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _answer(self, reply: Reply) -> None:
        future, _ = self._waiting.popleft()
        if future.done():  # its caller was cancelled meanwhile
            return
        if isinstance(reply, ReplyError):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        if self._watch is not None:
            self._watch.cancel()
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(ConnectionLost(self.reason))

    def _watch_later(self) -> None:
        due = self._loop.time() + self._timeout_s / 4
        self._watch = self._loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        now = self._loop.time()
        # After a pause of this process the replies may lie in the socket unread: look again before judging.
        paused = now - due > self._timeout_s / 4
        if not paused and self._waiting and now - self._waiting[0][1] > self._timeout_s:
            self.abandon(f"no reply within {self._timeout_s:g} s")
        else:
            self._watch_later()


def _reader() -> hiredis.Reader:
    return hiredis.Reader(replyError=ReplyError, encoding="utf-8", errors="replace", notEnoughData=_NOTHING)
