"""Any order of attaches, resumes, events and closes, repeated, late or undone: one holder, one token, no event lost."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from kit.session_model import LIMIT, Session, Sessions, check
from kit.state_search import search
from kit.store_past import StoreCopy
from lingua_state import sessions
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.errors import ForeignSession, SessionMissing, TokenRefused
from lingua_state.keys import Keys
from lingua_state.models import KeptEvent, Told

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import TypeVar

    from kit.redis_servers import Server

    T = TypeVar("T")

IDS = ("a", "b")
SESSION = st.sampled_from(IDS)
TENANTS = {"a": "acme", "b": "beta"}
INSTANCE = st.sampled_from(["s1", "s2", "s3"])
TTL_MS = 600_000


class SessionStates(RuleBasedStateMachine):
    """Two sessions of two tenants, and whatever may be said about them."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.known = Sessions()
        self.copy: tuple[StoreCopy, Sessions] | None = None
        self.numbers = count(1)
        self.last_call: tuple[str, list[str], list[Any], list[Any]] | None = None
        self.keys = Keys(cell=self.server.cell)
        self.runner = asyncio.Runner()
        self.raw = redis.Redis(port=self.server.process.port, decode_responses=True)
        self.raw.flushall()

    def run(self, call: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await call

        return self.runner.run(wrapped())

    @initialize()
    def begin(self) -> None:
        self.store: Store = self.run(open_store(RedisSettings(url=self.server.url, cell=self.server.cell)))

    # Who holds it

    @rule(session_id=SESSION, instance=INSTANCE, told_again=st.booleans())
    def attach(self, session_id: str, instance: str, told_again: bool) -> None:
        """Connect anew; or, as who held it in the past that the store lost, tell the store again."""
        session, token = self.known.live.get(session_id), f"t{next(self.numbers)}"
        after = self.known.held.get(session_id, 0) if told_again else 0
        call = self.attach_call(session_id, instance, token, after)
        outcome, generation = self.call(*call)
        before = session.generation if session else 0
        assert outcome == "ok"
        assert generation == max(before, after) + 1
        if told_again:
            assert generation > self.known.held.get(session_id, 0), "it outranks whoever held it in any past"
        self.hold(session_id, instance, generation, token)

    @rule(session_id=SESSION, instance=INSTANCE)
    def attach_as_who_held_it_before(self, session_id: str, instance: str) -> None:
        """Tell the store again too late: a later connection has come."""
        session = self.known.live.get(session_id)
        if session is None or session.generation < 2:
            return
        call = self.attach_call(session_id, instance, "late", session.generation - 1)
        assert self.call(*call, remember=False) == ["replaced", session.generation]

    @rule(session_id=SESSION)
    def attach_as_another_tenant(self, session_id: str) -> None:
        if session_id in self.known.live:
            with pytest.raises(ForeignSession):
                self.run(
                    sessions.attach(
                        self.store, session_id=session_id, instance_id="s9", tenant="mallory", source="en",
                        target="es", mode="one_way", trace_id="t", ttl_ms=TTL_MS,
                    )
                )  # fmt: skip

    @rule(session_id=SESSION, instance=INSTANCE, has=st.integers(0, 20))
    def resume(self, session_id: str, instance: str, has: int) -> None:
        session = self.known.live.get(session_id)
        if session is None:
            return
        used, token = session.token, f"t{next(self.numbers)}"
        answer = self.call(*self.resume_call(session_id, instance, used, token, has))
        assert answer[:3] == ["ok", session.generation + 1, session.instance]
        assert int(answer[3]) == session.last
        assert [int(name.partition("-")[0]) for name, _ in answer[6]] == [seq for seq in session.events if seq > has]
        self.known.used.setdefault(session_id, set()).add(used)
        session.instance, session.token = instance, token
        session.generation += 1
        self.known.note_held(session_id, session.generation)

    @rule(session_id=SESSION, how=st.sampled_from(["used", "guessed", "none", "foreign", "other"]))
    def resume_in_vain(self, session_id: str, how: str) -> None:
        session = self.known.live.get(session_id)
        tenant, subject = TENANTS[session_id], "ann"
        used = self.known.used.get(session_id, set())
        tokens = {"used": next(iter(sorted(used)), "guessed"), "none": "", "guessed": "guessed"}
        token = tokens.get(how, session.token if session else "guessed")
        tenant, subject = ("mallory" if how == "foreign" else tenant), ("bob" if how == "other" else subject)
        expected = (
            SessionMissing if session is None else ForeignSession if how in ("foreign", "other") else TokenRefused
        )
        with pytest.raises(expected):
            self.run(
                sessions.resume(
                    self.store, session_id=session_id, instance_id="s9", tenant=tenant, subject=subject, token=token,
                    next_token="stolen", ttl_ms=TTL_MS,
                )
            )  # fmt: skip

    @rule()
    def repeat_the_last_attach_or_resume(self) -> None:
        """Its reply was lost: the same words again change nothing and get the same answer."""
        if self.last_call is None:
            return
        *call, answer = self.last_call
        assert self.run(self.store.scripts.run(*call)) == answer  # type: ignore[arg-type]

    @rule(session_id=SESSION, older=st.booleans())
    def touch_or_change_languages(self, session_id: str, older: bool) -> None:
        session = self.known.live.get(session_id)
        generation = self.generation(session, older=older)
        counts = session is not None and not older
        assert self.run(sessions.touch(self.store, session_id, generation, TTL_MS)) == counts
        assert self.run(sessions.update_languages(self.store, session_id, generation, "de", "fr")) == counts

    @rule(session_id=SESSION, older=st.booleans(), twice=st.booleans())
    def close(self, session_id: str, older: bool, twice: bool) -> None:
        session = self.known.live.get(session_id)
        generation = self.generation(session, older=older)
        counts = session is not None and not older
        self.last_call = None
        assert self.run(sessions.close(self.store, session_id, generation)) == counts
        if counts:
            del self.known.live[session_id]
        if twice:
            assert not self.run(sessions.close(self.store, session_id, generation))

    # What its client was told

    @rule(session_id=SESSION, more=st.integers(0, 6), older=st.booleans(), ack=st.integers(0, 6), twice=st.booleans())
    def tell(self, session_id: str, more: int, older: bool, ack: int, twice: bool) -> None:
        session = self.known.live.get(session_id)
        generation = self.generation(session, older=older)
        if session is None or older:
            told, events = Told(99, 0, 0, 0), [KeptEvent(99, "not for anybody")]
            assert not self.run(
                sessions.keep(self.store, session_id, generation, told, events, ttl_ms=TTL_MS, limit=LIMIT)
            )
            return
        self.last_call = None
        new = session.told(more)
        session.confirmed(session.acked + ack)
        told = Told(session.last, session.acked, 0, 0)
        events = [KeptEvent(seq, f"entry {seq}") for seq in new if seq > session.acked]
        for _ in range(2 if twice else 1):
            assert self.run(sessions.keep(self.store, session_id, generation, told, events, ttl_ms=TTL_MS, limit=LIMIT))

    # What happens to the store

    @rule()
    def forget_the_scripts(self) -> None:
        self.raw.script_flush()

    @rule(back=st.booleans())
    def copy_the_store_or_go_back_to_the_copy(self, back: bool) -> None:
        with redis.Redis(port=self.server.process.port) as raw:
            if not back or self.copy is None:
                self.copy = StoreCopy.of(raw), deepcopy(self.known)
                return
            copy, known = self.copy
            copy.put_back(raw)
        # The store has forgotten; those who held a session have not.
        self.known = Sessions(deepcopy(known.live), self.known.held, deepcopy(known.used))
        self.last_call = None

    @invariant()
    def everything_holds(self) -> None:
        check(self.raw, self.keys, self.known, IDS)

    def teardown(self) -> None:
        """Close what is open, and see that nothing stays."""
        for session_id, session in self.known.live.items():
            assert self.run(sessions.close(self.store, session_id, session.generation))
        assert not self.raw.dbsize()
        self.run(self.store.close())
        self.runner.close()
        self.raw.close()

    def hold(self, session_id: str, instance: str, generation: int, token: str) -> None:
        session = self.known.live.get(session_id)
        if session is None:
            session = self.known.live[session_id] = Session(TENANTS[session_id], instance, generation, token)
        session.instance, session.generation, session.token = instance, generation, token
        self.known.note_held(session_id, generation)

    def attach_call(self, session_id: str, instance: str, token: str, after: int) -> tuple[str, list[str], list[Any]]:
        keys = [self.keys.session(session_id), self.keys.sessions()]
        words = [session_id, instance, TENANTS[session_id], "en", "es", "one_way", "t", TTL_MS]
        return "session_attach", keys, [*words, f"op{next(self.numbers)}", after, "ann", token]

    def resume_call(
        self, session_id: str, instance: str, token: str, next_token: str, last_seq: int
    ) -> tuple[str, list[str], list[Any]]:
        keys = [self.keys.session(session_id), self.keys.sessions(), self.keys.session_events(session_id)]
        words = [session_id, instance, TENANTS[session_id], "ann", token, next_token, TTL_MS]
        return "session_resume", keys, [*words, f"op{next(self.numbers)}", last_seq]

    def call(self, name: str, keys: list[str], args: list[Any], *, remember: bool = True) -> list[Any]:
        answer = self.run(self.store.scripts.run(name, keys, args))
        if remember:
            self.last_call = name, keys, args, answer
        return answer

    @staticmethod
    def generation(session: Session | None, *, older: bool) -> int:
        current = session.generation if session else 1
        return current - 1 if older else current


def test_a_session_has_one_holder_whatever_is_called(valkey: Server) -> None:
    search(SessionStates, valkey, examples=40, steps=30)


@pytest.mark.search
@pytest.mark.timeout(1_800)
def test_a_session_has_one_holder_in_a_long_search(server: Server) -> None:
    search(SessionStates, server, examples=300, steps=80)
