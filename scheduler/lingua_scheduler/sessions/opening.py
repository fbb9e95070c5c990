"""Open a session, or let one go on over a new connection: what is asked of the store and of this instance, in order."""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingua_scheduler.sessions.handing import adopt
from lingua_scheduler.sessions.handover import Handed, start_of
from lingua_scheduler.sessions.recorder import Recorder
from lingua_scheduler.sessions.resuming import Claim, Start, begin_again, begin_fresh, digest, new_token
from lingua_scheduler.sessions.session import Session
from lingua_scheduler.sessions.teller import Teller
from lingua_state import pools
from lingua_state.errors import ForeignSession, SessionMissing, SessionReplaced, StateError, TokenRefused
from lingua_state.ids import new_session_id
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from lingua_scheduler.scheduler import Scheduler
    from lingua_scheduler.sessions.session import SessionLine
    from lingua_scheduler.sessions.terms import Terms
    from lingua_state.models import Resumed
    from lingua_wire.session_messages import SessionInit

log = logging.getLogger(__name__)

_OVER = WireError(ErrorCode.SESSION_CLOSED, "it is too late to resume this session", close=CloseCode.RESUME_OVER)
_AWAY = WireError(ErrorCode.STORE_UNAVAILABLE, "the state store can't be reached", close=CloseCode.TRY_LATER)
_REFUSED = WireError(
    ErrorCode.INVALID_SESSION,
    "resume_token: is not this session's, or was used before",
    close=CloseCode.UNKNOWN_SESSION,
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that has a connection now. ``resumed``: it goes on, and its client is told from where."""

    session: Session
    token: str | None
    resumed: bool = False


class Opening:
    """Opens sessions for one connection, its ``line``."""

    def __init__(self, scheduler: Scheduler, line: SessionLine) -> None:
        self._scheduler = scheduler
        self._line = line

    async def open(self, init: SessionInit, terms: Terms) -> Opened:
        """Open what ``init`` asks for.

        :raises WireError: with the close code: 4404 for a resume token that does not count, 4410 when it is too late to
            resume, 4422 for a pair that nobody offers, 1013 while the store is away.
        """
        if terms.profile.resume and init.session_id and init.resume_token:
            return await self._resume(init, init.session_id, init.resume_token, terms)
        return await self._fresh(init, terms)

    async def _fresh(self, init: SessionInit, terms: Terms) -> Opened:
        scheduler = self._scheduler
        session_id = new_session_id(scheduler.store.cell)
        token = new_token() if terms.profile.resume else None
        hashed = digest(token) if token else ""
        try:
            await self._check_pair(terms)
            generation = await scheduler.sessions.attach(session_id, terms, token=hashed)
        except StateError as error:
            raise self._store_trouble(error) from error
        start = begin_fresh(Claim.of(init)) if terms.profile.resume else None
        session = make_session(scheduler, session_id, generation, terms, start)
        session.token_digest = hashed
        if start is not None and init.from_sample is not None:
            session.expect_again()
        session.begin(self._line)
        scheduler.sessions.add(session)
        return Opened(session, token)

    async def _check_pair(self, terms: Terms) -> None:
        """Refuse a pair that no node was ever seen to offer, to a client that can tell a person so.

        While no node has come at all, nothing can be said about pairs: utterances wait for nodes then.
        """
        if not terms.profile.warned or not self._scheduler.settings.session.check_pair:
            return
        store, pair = self._scheduler.store, terms.languages.pair
        if await pools.offered(store, pair, tenant=terms.tenant, pairing=terms.pairing):
            return
        if any(summary.classes for summary in await pools.pairs(store)):
            raise WireError(ErrorCode.PAIR_NOT_OFFERED, f"no node offers {pair}", close=CloseCode.PAIR_NOT_OFFERED)

    async def _resume(self, init: SessionInit, session_id: str, token: str, terms: Terms) -> Opened:
        claim, next_token = Claim.of(init), new_token()
        here = self._here(session_id, digest(token), terms)
        if here is not None and here.finishing:
            raise self._refused(_OVER)
        try:
            resumed = await self._scheduler.sessions.resume(
                session_id, terms, digest(token), digest(next_token), claim.last_seq
            )
        except StateError as error:
            if here is None or isinstance(error, TokenRefused | SessionReplaced):
                raise self._refused(_why(error)) from error
            # The store is away, or has forgotten the session; this instance has not.
            return self._go_on(here, here.generation, next_token, claim, known=False)
        if here is not None:
            return self._go_on(here, resumed.generation, next_token, claim)
        return await self._take_over(session_id, resumed, next_token, claim, terms)

    def _here(self, session_id: str, hashed: str, terms: Terms) -> Session | None:
        """Find the session here, if the token is its own and who shows it is the one it was given to."""
        session = self._scheduler.sessions.find(session_id)
        if session is None or not hmac.compare_digest(session.token_digest, hashed):
            return None
        same = (session.terms.tenant, session.terms.subject) == (terms.tenant, terms.subject)
        return session if same else None

    def _go_on(self, session: Session, generation: int, token: str, claim: Claim, *, known: bool = True) -> Opened:
        if not session.take_up(self._line, claim):
            raise self._refused(_OVER)
        session.generation, session.token_digest, session.unknown = generation, digest(token), not known
        self._count("here")
        return Opened(session, token, resumed=True)

    async def _take_over(self, session_id: str, resumed: Resumed, token: str, claim: Claim, terms: Terms) -> Opened:
        """Go on with what the instance before hands over; without it, from what the client and the store have."""
        scheduler, holder, generation = self._scheduler, resumed.instance_before, resumed.generation
        handed = Handed()
        if holder != scheduler.instance_id:
            handed = await scheduler.moving.ask(holder, session_id, generation, claim.last_seq)
        if handed.known:
            session = make_session(scheduler, session_id, generation, terms, start_of(handed))
            adopt(session, handed, holder, claim.last_seq)
        else:
            again = begin_again(claim, resumed)
            session = make_session(scheduler, session_id, generation, terms, again.start)
            session.missed = again.entries
        session.token_digest = digest(token)
        session.begin(self._line)
        session.expect_again()
        scheduler.sessions.add(session)
        scheduler.moving.adopted(session)
        self._count("handed_over" if handed.known else "rebuilt")
        return Opened(session, token, resumed=True)

    def _refused(self, error: WireError) -> WireError:
        self._count("refused")
        return WireError(error.code, error.message, close=error.close)

    def _store_trouble(self, error: StateError) -> WireError:
        self._scheduler.metrics.store_errors.of(error.code).inc()
        return _AWAY

    def _count(self, how: str) -> None:
        self._scheduler.metrics.sessions_resumed.of(how).inc()


def make_session(
    scheduler: Scheduler, session_id: str, generation: int, terms: Terms, start: Start | None = None
) -> Session:
    """Put a session together."""
    start = start or Start()
    settings = scheduler.settings.session
    teller = Teller(session_id, terms.profile, settings, scheduler.metrics, start=start)
    session = Session(scheduler, session_id, generation, terms, teller, start)
    if terms.profile.resume:
        teller.recorder = Recorder(
            scheduler.store,
            settings,
            scheduler.sessions.background,
            lambda: (session_id, session.generation),
            session.fenced,
        )
    return session


def _why(error: StateError) -> WireError:
    if isinstance(error, SessionMissing | ForeignSession):
        return _OVER
    return _REFUSED if isinstance(error, TokenRefused | SessionReplaced) else _AWAY
