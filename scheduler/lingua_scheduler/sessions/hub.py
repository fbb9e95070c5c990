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
from lingua_wire.codes import CloseCode

if TYPE_CHECKING:
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.sessions.session import Session
    from lingua_scheduler.sessions.terms import Terms
    from lingua_scheduler.settings import SchedulerSettings
    from lingua_state.client import Store
    from lingua_state.models import Resumed

log = logging.getLogger(__name__)

#: Sessions renewed at once.
_BATCH = 100
#: Between two batches of sockets that are closed.
_BETWEEN_S = 0.02


class SessionHub:
    """All sessions here. ``opening`` counts sockets that have no session yet."""

    def __init__(self, store: Store, instance_id: str, settings: SchedulerSettings, metrics: Metrics) -> None:
        self._store = store
        self._instance_id = instance_id
        self._settings = settings.session
        self._drain = settings.drain
        self._metrics = metrics
        self._sessions: dict[str, Session] = {}
        #: Sessions whose record is being renewed, each with what tells that it is done.
        self._renewing: dict[str, asyncio.Event] = {}
        self.background = Background(metrics)
        self.opening = 0
        #: A record outlives its instance for as long as a client may come back.
        self._ttl_ms = max(settings.session.ttl_ms, settings.session.resume_ms * 3 // 2)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def full(self) -> bool:
        """Tell whether no more sockets are let in."""
        return len(self._sessions) + self.opening >= self._settings.limit

    @property
    def connected(self) -> int:
        """Count the sessions whose client is there."""
        return sum(session.line is not None for session in self._sessions.values())

    @property
    def unsettled(self) -> int:
        """Count the sessions that a stop waits for: connected ones, and those with something under way."""
        return sum(session.line is not None or not session.idle for session in self._sessions.values())

    def find(self, session_id: str) -> Session | None:
        """Find a session."""
        return self._sessions.get(session_id)

    async def attach(self, session_id: str, terms: Terms, after: int = 0, token: str = "") -> int:
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
            ttl_ms=self._ttl_ms,
            after=after,
            subject=terms.subject,
            token=token,
        )

    async def resume(self, session_id: str, terms: Terms, token: str, next_token: str, last_seq: int) -> Resumed:
        """Take a session over from whoever has it; the tokens are digests.

        :raises StateError: the store is away, or the token does not count.
        """
        return await sessions.resume(
            self._store,
            session_id=session_id,
            instance_id=self._instance_id,
            tenant=terms.tenant,
            subject=terms.subject,
            token=token,
            next_token=next_token,
            ttl_ms=self._ttl_ms,
            last_seq=last_seq,
        )

    def add(self, session: Session) -> None:
        """Take in a session."""
        self._sessions[session.session_id] = session
        self._metrics.sessions_opened.of(session.terms.profile.name).inc()
        self._show()

    async def remove(self, session: Session) -> None:
        """Forget a session, here and in the store."""
        if self._sessions.get(session.session_id) is not session:
            return
        del self._sessions[session.session_id]
        self._show()
        try:
            await sessions.close(self._store, session.session_id, session.generation)
        except StateError as error:  # the record lapses by itself
            self._metrics.store_errors.of(error.code).inc()

    def forget(self, session: Session) -> None:
        """End a session that nobody waits for any more."""
        session.drop()
        self.background.spawn(self.remove(session))

    def let_go(self, session: Session) -> None:
        """Forget a session that went on elsewhere."""
        if self._sessions.get(session.session_id) is session:
            del self._sessions[session.session_id]
            self._show()

    def all(self) -> list[Session]:
        """List the sessions."""
        return list(self._sessions.values())

    def check(self, session: Session) -> None:
        """Find out whether a session is still held here: the store said no."""
        if session.session_id in self._sessions:
            self.background.spawn(self._renew_one(session))

    def languages_changed(self, session: Session, source: str, target: str) -> None:
        """Tell the store what a session hears and speaks now."""
        self.background.spawn(self._update_languages(session, source, target))

    async def renew(self) -> None:
        """Keep the records of all sessions alive, for ever; spread over a third of their time to live."""
        while True:
            await asyncio.sleep(self._ttl_ms / 3000)
            await self.renew_once()

    async def renew_once(self) -> None:
        """Renew every record; one that is gone is written again, one that was taken over ends its socket here."""
        held = list(self._sessions.values())
        for start in range(0, len(held), _BATCH):
            await asyncio.gather(*(self._renew_one(session) for session in held[start : start + _BATCH]))

    async def reassert(self) -> None:
        """Tell the store about every session again: it lost its past."""
        await self.renew_once()

    def drain(self, deadline_ms: int) -> None:
        """Tell every client that this instance goes away; those who can't move have what was spoken finished."""
        for session in list(self._sessions.values()):
            self.move(session, "drain", deadline_ms)

    def move(self, session: Session, reason: str, deadline_ms: int) -> None:
        """Ask a client to connect again, elsewhere; one that can't resume is brought to its end."""
        self._metrics.sessions_moved.of(reason).inc()
        session.go_by(deadline_ms)
        session.teller.going_away(reason, deadline_ms, self.any_moment_ms(len(self._sessions)))
        if not session.terms.profile.resume:
            session.finish(Reason.DRAIN)

    def shed(self, count: int) -> int:
        """Ask so many clients to connect again elsewhere, those with nothing under way first; return how many were."""
        able = [session for session in self._sessions.values() if session.may_move]
        random.shuffle(able)
        chosen = sorted(able, key=lambda session: not session.idle)[:count]
        for session in chosen:
            self.move(session, "rebalance", self._settings.going_away_ms)
        return len(chosen)

    def any_moment_ms(self, count: int) -> int:
        """Choose when one of ``count`` clients that are told at once connects again."""
        spread_ms = max(self._drain.reconnect_ms, count * 1000 // self._drain.moves_per_s)
        return round(random.uniform(0, min(spread_ms, max(self._drain.reconnect_ms, self._drain.grace_ms // 2))))

    def drain_code(self, session: Session) -> CloseCode:
        """Choose the close code at a drain: what base peers know, or the one that says what it is."""
        return CloseCode.RESTART if session.terms.profile.extensions else CloseCode.GOING_AWAY

    async def close_all(self) -> None:
        """Close every socket that is still open, not all at once."""
        held = list(self._sessions.values())
        for start in range(0, len(held), self._drain.close_batch):
            for session in held[start : start + self._drain.close_batch]:
                if session.line is not None:
                    session.line.close(self.drain_code(session))
            await asyncio.sleep(_BETWEEN_S)

    def leave(self) -> None:
        """Let go of what is left; records stay in the store, for clients that come back elsewhere."""
        for session in self._sessions.values():
            session.drop()

    async def stop(self) -> None:
        """Stop background calls and timers."""
        self.leave()
        await self.background.stop()

    async def _renew_one(self, session: Session) -> None:
        """Renew a record, one after the other: of two at once, one takes the other for a later connection."""
        name = session.session_id
        while other := self._renewing.get(name):
            await other.wait()
        self._renewing[name] = done = asyncio.Event()
        try:
            await self._renew_in_turn(session)
        finally:
            del self._renewing[name]
            done.set()

    async def _renew_in_turn(self, session: Session) -> None:
        name, generation = session.session_id, session.generation
        try:
            if not session.unknown and await sessions.touch(self._store, name, generation, self._ttl_ms):
                return
            if self._sessions.get(name) is session and generation == session.generation:
                session.generation = await self.attach(name, session.terms, generation, session.token_digest)
                session.unknown = False
                if self._sessions.get(name) is not session:
                    # It ended meanwhile, in the generation before: what was just written would stay until it lapses.
                    await sessions.close(self._store, name, session.generation)
        except SessionReplaced:
            if generation == session.generation:
                self._metrics.sessions_fenced.of("renewal").inc()
                session.end(CloseCode.REPLACED)
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
