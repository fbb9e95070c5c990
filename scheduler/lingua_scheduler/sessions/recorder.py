"""Writes what a client was told to the store, until it has it: one call at a time, what comes meanwhile together."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from lingua_state import sessions
from lingua_state.errors import StateError
from lingua_state.models import KeptEvent, Told

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_scheduler.background import Background
    from lingua_scheduler.sessions.journal import Journal
    from lingua_scheduler.sessions.resuming import Entry, Mark
    from lingua_scheduler.settings import SessionSettings
    from lingua_state.client import Store


class Recorder:
    """The store's copy of one session's journal, text alone.

    Sessions never wait for it: while the store is away the newest events are kept here, and what is never written is
    made again from the client's audio. ``fenced`` is called when a later attach holds the session.
    """

    def __init__(
        self,
        store: Store,
        settings: SessionSettings,
        background: Background,
        holder: Callable[[], tuple[str, int]],
        fenced: Callable[[], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._background = background
        self._holder = holder
        self._fenced = fenced
        self._waiting: deque[KeptEvent] = deque(maxlen=settings.outbox_events)
        self._dirty = False
        self._busy = False
        self._told = Told(0, 0, 0, 0)

    def note(self, journal: Journal, mark: Mark, entry: Entry | None = None) -> None:
        """Write how far the client was told, with the event just told, if one is to be kept."""
        if entry is not None and self._settings.events_ms and (text := entry.write()) is not None:
            self._waiting.append(KeptEvent(journal.seq, text))
        self._told = Told(journal.seq, journal.acked, mark.sample, mark.index)
        self._dirty = True
        if not self._busy:
            self._busy = True
            self._background.spawn(self._write())

    def rewrite(self) -> None:
        """Write again what is not acknowledged: the store lost its past, or was away."""
        self._dirty = True
        if not self._busy:
            self._busy = True
            self._background.spawn(self._write())

    async def _write(self) -> None:
        try:
            while self._dirty:
                self._dirty = False
                await self._write_once()
        finally:
            self._busy = False

    async def _write_once(self) -> None:
        events, told = list(self._waiting), self._told
        session_id, generation = self._holder()
        try:
            held = await sessions.keep(
                self._store,
                session_id,
                generation,
                told,
                [event for event in events if event.seq > told.acked],
                ttl_ms=self._settings.events_ms,
                limit=self._settings.outbox_events,
            )
        except StateError:
            return  # what comes next brings it along
        if not held:
            self._fenced()
        while self._waiting and events and self._waiting[0].seq <= events[-1].seq:
            self._waiting.popleft()
