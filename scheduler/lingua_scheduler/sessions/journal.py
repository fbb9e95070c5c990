"""What a client was told and may not have yet: numbered, kept until it says so, told again after a resume. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingua_scheduler.sessions.outbox import Outgoing


class Journal:
    """Numbered events that wait for the client's ``event_ack``.

    Bounded like the outbox: beyond ``max_bytes`` the oldest lose their speech, beyond ``max_events`` they are
    forgotten. A client that comes back and has not even these can't be told everything: :meth:`after` says so.
    """

    __slots__ = ("_bytes", "_floor", "_max_bytes", "_max_events", "_waiting", "acked", "seq")

    def __init__(self, max_events: int, max_bytes: int, seq: int = 0) -> None:
        self.seq = seq
        self.acked = seq
        self._floor = seq
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._waiting: deque[Outgoing] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Count the events that wait."""
        return len(self._waiting)

    def number(self) -> int:
        """Give the next event its number."""
        self.seq += 1
        return self.seq

    def add(self, event: Outgoing) -> None:
        """Keep an event that has a number."""
        self._waiting.append(event)
        self._bytes += event.size_bytes
        if self._bytes > self._max_bytes:
            self._drop_speech()
        while len(self._waiting) > self._max_events:
            self._floor = self._forget()

    def adopt(self, events: Iterable[Outgoing], acked: int) -> None:
        """Keep what another instance had kept: all after ``acked``."""
        self._floor = self.acked = acked
        for event in events:
            self.add(event)

    def ack(self, seq: int) -> bool:
        """Forget what the client has; False: it said nothing new, or what can't be."""
        if not self.acked < seq <= self.seq:
            return False
        self.acked = seq
        while self._waiting and (self._waiting[0].seq or 0) <= seq:
            self._forget()
        return True

    def after(self, seq: int) -> list[Outgoing] | None:
        """List what the client has not got, oldest first; None: some of it is forgotten."""
        if seq < self._floor:
            return None
        return [event for event in self._waiting if (event.seq or 0) > seq]

    def _forget(self) -> int:
        event = self._waiting.popleft()
        self._bytes -= event.size_bytes
        return event.seq or 0

    def _drop_speech(self) -> None:
        for at, event in enumerate(self._waiting):
            if self._bytes <= self._max_bytes:
                return
            if event.without_speech is not None:
                lean = replace(event, frames=event.without_speech, without_speech=None)
                self._bytes += lean.size_bytes - event.size_bytes
                self._waiting[at] = lean
