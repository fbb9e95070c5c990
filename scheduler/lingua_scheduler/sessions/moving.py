"""Sessions on their way between instances: ask for one that was elsewhere, let one go that is asked for."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from lingua_scheduler.sessions import handover
from lingua_scheduler.sessions.handing import hand_over
from lingua_scheduler.sessions.handover import Handed
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Collection

    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.sessions.handover import Settled
    from lingua_scheduler.sessions.hub import SessionHub
    from lingua_scheduler.sessions.session import Session
    from lingua_scheduler.work import SessionWord

log = logging.getLogger(__name__)


class Moving:
    """The way of sessions to and from other instances. ``len`` counts those that still owe an outcome to another."""

    def __init__(self, hub: SessionHub, carrier: Carrier, patience_ms: int) -> None:
        self._hub = hub
        self._carrier = carrier
        self._patience_s = patience_ms / 1000
        self._asked: dict[tuple[str, int], asyncio.Future[Handed]] = {}
        self._early: dict[tuple[str, int], list[Settled]] = {}
        self._leaving: dict[str, Session] = {}
        carrier.sessions = self

    def __len__(self) -> int:
        return len(self._leaving)

    async def ask(self, holder: str, session_id: str, generation: int, last_seq: int) -> Handed:
        """Ask the instance that held a session for it; one that does not answer in time knows nothing of it."""
        word = handover.ask(session_id, generation, self._carrier.instance_id, last_seq)
        if not holder or not self._carrier.tell_about_session(holder, word):
            return Handed()
        answer: asyncio.Future[Handed] = asyncio.get_running_loop().create_future()
        self._asked[session_id, generation] = answer
        self._early[session_id, generation] = []
        try:
            async with asyncio.timeout(self._patience_s):
                return await answer
        except TimeoutError:
            log.info("a session was not handed over in time", extra={"session_id": session_id, "peer": holder})
            return Handed()
        except BaseException:
            del self._early[session_id, generation]
            raise
        finally:
            del self._asked[session_id, generation]

    def adopted(self, session: Session) -> None:
        """Give a session that is here now the outcomes that came before it was."""
        for settled in self._early.pop((session.session_id, session.generation), ()):
            session.utterances.settled_elsewhere(settled)

    def give_up(self) -> None:
        """Let the instances that wait for outcomes know that none come any more."""
        for session in list(self._leaving.values()):
            session.utterances.give_up()

    def on_word(self, word: SessionWord) -> None:
        """Take what another instance says about a session; what can't be read changes nothing."""
        try:
            if word.what == handover.ASK:
                self._let_go(word)
            elif word.what == handover.HANDED:
                self._take(word)
            elif word.what == handover.SETTLED:
                self._settle(word)
        except (ValueError, KeyError, TypeError, WireError) as error:
            log.warning("a word about a session can't be read", extra={"reason": type(error).__name__})

    def helpers(self) -> set[str]:
        """Name the instances from which outcomes are awaited."""
        return {name for session in self._hub.all() for name in session.utterances.helpers}

    def gone(self, instance_ids: Collection[str]) -> None:
        """Take note of instances that are gone: what was under way there is lost."""
        for session in self._hub.all():
            if not session.utterances.helpers.isdisjoint(instance_ids):
                session.utterances.lost_with(instance_ids)

    def _let_go(self, word: SessionWord) -> None:
        session = self._hub.find(word.session_id)
        if session is None or session.generation >= word.generation:
            self._answer(word, Handed())
            return

        def forward(settled: Settled) -> None:
            self._tell(word.sender, handover.settled_word(word.session_id, word.generation, me, settled))
            if not session.utterances.open:
                self._leaving.pop(word.session_id, None)

        me = self._carrier.instance_id
        handed = hand_over(session, int(word.head["last_seq"]), forward)
        self._hub.let_go(session)
        if session.utterances.open:
            self._leaving[word.session_id] = session
        self._answer(word, handed)
        log.info("session handed over", extra={"session_id": word.session_id, "peer": word.sender})

    def _answer(self, asked: SessionWord, handed: Handed) -> None:
        me = self._carrier.instance_id
        self._tell(asked.sender, handover.handed_word(asked.session_id, asked.generation, me, handed))

    def _take(self, word: SessionWord) -> None:
        answer = self._asked.get((word.session_id, word.generation))
        if answer is not None and not answer.done():
            answer.set_result(handover.read_handed(word))

    def _settle(self, word: SessionWord) -> None:
        session = self._hub.find(word.session_id) or self._leaving.get(word.session_id)
        settled = handover.read_settled(word)
        early = self._early.get((word.session_id, word.generation))
        if early is not None:
            early.append(settled)
        elif session is not None:
            session.utterances.settled_elsewhere(settled)

    def _tell(self, instance_id: str, word: SessionWord) -> None:
        if not self._carrier.tell_about_session(instance_id, word):
            log.info("an instance can't be told of a session", extra={"peer": instance_id})
