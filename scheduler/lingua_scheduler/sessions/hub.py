"""The sessions of this instance: found by id, renewed in the store, told of a drain."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING

from lingua_scheduler.background import Background
from lingua_scheduler.sessions.cuts import Reason
from lingua_state import sessions
from lingua_state.errors import SessionReplaced, StateError
from lingua_wire.codes import CloseCode, ErrorCode

if TYPE_CHECKING:
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.sessions.session import Session
    from lingua_scheduler.sessions.terms import Terms
    from lingua_scheduler.settings import SchedulerSettings
    from lingua_state.client import Store

log = logging.getLogger(__name__)

#: Sessions renewed at once.
_BATCH = 100


class SessionHub:
    """All sessions here. ``opening`` counts sockets that have no session yet."""

    def __init__(self, store: Store, instance_id: str, settings: SchedulerSettings, metrics: Metrics) -> None:
        self._store = store
        self._instance_id = instance_id
        self._settings = settings.session
        self._drain = settings.drain
        self._metrics = metrics
        self._sessions: dict[str, Session] = {}
        self._background = Background(metrics)
        self.opening = 0

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def full(self) -> bool:
        """Tell whether no more sockets are let in."""
        return len(self._sessions) + self.opening >= self._settings.limit

    async def attach(self, session_id: str, terms: Terms, after: int = 0) -> int:
        """Tell the store that this instance has the session; return its generation.

        :raises StateError: the store is away, or another attach was later.
        """
        pair = terms.languages.pair
        return await sessions.attach(
            self._store,
            session_id=session_id,
            instance_id=self._instance_id,
            tenant=terms.tenant,
            source=pair.source,
            target=pair.target,
            mode=terms.languages.mode,
            trace_id=terms.trace_id,
            ttl_ms=self._settings.ttl_ms,
            after=after,
        )

    def add(self, session: Session) -> None:
        """Take in a session."""
        self._sessions[session.session_id] = session
        self._metrics.sessions_opened.of(session.terms.profile.name).inc()
        self._show()

    async def remove(self, session: Session) -> None:
        """Forget a session, here and in the store."""
        if self._sessions.pop(session.session_id, None) is None:
            return
        self._show()
        try:
            await sessions.close(self._store, session.session_id, session.generation)
        except StateError as error:  # the record lapses by itself
            self._metrics.store_errors.of(error.code).inc()

    def languages_changed(self, session: Session, source: str, target: str) -> None:
        """Tell the store what a session hears and speaks now."""
        self._background.spawn(self._update_languages(session, source, target))

    async def renew(self) -> None:
        """Keep the records of all sessions alive, for ever; spread over a third of their time to live."""
        while True:
            await asyncio.sleep(self._settings.ttl_ms / 3000)
            await self.renew_once()

    async def renew_once(self) -> None:
        """Renew every record; one that is gone is written again, one that was taken over ends its socket here."""
        held = list(self._sessions.values())
        for start in range(0, len(held), _BATCH):
            await asyncio.gather(*(self._renew_one(session) for session in held[start : start + _BATCH]))

    async def reassert(self) -> None:
        """Tell the store about every session again: it lost its past."""
        await self.renew_once()

    async def drain(self, deadline_ms: int) -> None:
        """Let every session finish what was spoken, tell the clients, and close."""
        for session in list(self._sessions.values()):
            session.teller.going_away("drain", deadline_ms, round(random.uniform(0, self._drain.reconnect_ms)))
            session.finish(Reason.DRAIN)

    def close_all(self, code: CloseCode) -> None:
        """Close every socket that is still open."""
        for session in list(self._sessions.values()):
            session.on_close(code)

    async def stop(self) -> None:
        """Stop background calls."""
        await self._background.stop()

    async def _renew_one(self, session: Session) -> None:
        try:
            if await sessions.touch(self._store, session.session_id, session.generation, self._settings.ttl_ms):
                return
            if session.session_id in self._sessions:
                session.generation = await self.attach(session.session_id, session.terms, session.generation)
        except SessionReplaced:
            session.teller.error(ErrorCode.SESSION_REPLACED, "the session goes on over a newer connection")
            session.on_close(CloseCode.REPLACED)
        except StateError as error:
            self._metrics.store_errors.of(error.code).inc()
        except Exception:  # of one session: all others must still be renewed
            log.exception("a session could not be renewed", extra={"session_id": session.session_id})

    async def _update_languages(self, session: Session, source: str, target: str) -> None:
        await sessions.update_languages(self._store, session.session_id, session.generation, source, target)

    def _show(self) -> None:
        names = Counter(session.terms.profile.name for session in self._sessions.values())
        self._metrics.sessions_held.set(len(self._sessions))
        self._metrics.sessions_active.replace({"base": names["base"], "extended": names["extended"]})
