"""Events on their way to the user: bounded; a newer partial takes the place of an unread older one. One reader."""

from __future__ import annotations

import asyncio
import sys
from collections import deque

from lingua_client.events import Event, Partial


class Inbox:
    """Hold unread events. ``put`` waits when full, which stops the reading of the socket: back-pressure to the service.

    :param capacity: unread events other than superseded partials.
    """

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._events: deque[Event] = deque()
        self._changed = asyncio.Condition()
        self._ended = False
        self._error: BaseException | None = None

    @property
    def full(self) -> bool:
        """Tell whether the next event must wait for the reader."""
        return len(self._events) >= self._capacity

    async def widen(self) -> None:
        """Take all that still comes without waiting for the reader: the session is closing."""
        async with self._changed:
            self._capacity = sys.maxsize
            self._changed.notify_all()

    async def put(self, event: Event) -> None:
        """Add an event, after the reader made room for it."""
        async with self._changed:
            if isinstance(event, Partial) and self._replace(event):
                return
            await self._changed.wait_for(lambda: not self.full or self._ended)
            self._events.append(event)
            self._changed.notify_all()

    async def end(self, last: Event | None = None, error: BaseException | None = None) -> None:
        """Close the inbox: ``last`` is delivered after what is there, then iteration ends, with ``error`` if given."""
        async with self._changed:
            if self._ended:
                return
            self._ended = True
            self._error = error
            if last is not None:
                self._events.append(last)
            self._changed.notify_all()

    async def get(self) -> Event | None:
        """Give the next event, or None at the end.

        :raises LinguaError: what :meth:`end` was given, each time it is asked.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._events or self._ended)
            if self._events:
                self._changed.notify_all()
                return self._events.popleft()
            if self._error is not None:
                raise self._error
            return None

    def _replace(self, event: Partial) -> bool:
        for place in range(len(self._events) - 1, -1, -1):
            unread = self._events[place]
            if isinstance(unread, Partial) and unread.utterance_index == event.utterance_index:
                self._events[place] = event
                return True
        return False
