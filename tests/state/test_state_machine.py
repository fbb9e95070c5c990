"""Any order of calls, repeated and late ones, lost leases, an older copy, a jump of time: the state stays whole."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from kit.state import EN_ES, ES_EN, can
from kit.state_model import MAX_ATTEMPTS, Job, Model, Node, Snapshot, lasting_keys
from kit.state_past import WithAPast
from kit.state_search import search
from lingua_state import declarations, dispatch, jobs, nodes, pools, sessions, sweep
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.declared import Declaration, Scheduling
from lingua_state.errors import NodeIdTaken, NoNode, Redeclared, SessionReplaced, StaleGeneration
from lingua_state.keys import Keys
from lingua_state.models import (
    TERMINAL,
    Assigned,
    DispatchRequest,
    EndedJob,
    JobRecord,
    JobStatus,
    NodeBeat,
    NodeRegistration,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import TypeVar

    from kit.redis_servers import Server

    T = TypeVar("T")

NODES = st.sampled_from(["n1", "n2", "n3"])
CAPABILITIES = st.sampled_from([can("en", "es"), can("en es", "en es")])
PAIRS = st.sampled_from([EN_ES, EN_ES, ES_EN])
SESSIONS = ("a", "b", "c")
# Which of the jobs there are; drawn so that what is drawn never hangs on what the store answered.
OFTEN_NOT = st.sampled_from([False, False, False, True])
WEIGHTS = st.sampled_from([100, 100, 200, 30, 0])
SCHEDULING = st.sampled_from([Scheduling.ACTIVE, Scheduling.ACTIVE, Scheduling.CORDONED])
PICK = st.integers(0, 999)
FINAL = st.sampled_from([JobStatus.COMPLETED, JobStatus.COMPLETED_NO_TEXT, JobStatus.FAILED])


def choose(names: Iterable[str], pick: int) -> str | None:
    """Pick one of the names; None if there is none."""
    found = list(names)
    return found[pick % len(found)] if found else None


class States(WithAPast):
    """Three nodes, three sessions, and whatever may be said about them."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.requests: dict[str, DispatchRequest] = {}
        self.connections = count(1)
        self.generations = count(1)
        self.keys = Keys(cell=self.server.cell)
        self.runner = asyncio.Runner()
        self.raw = redis.Redis(port=self.server.process.port, decode_responses=True)
        self.raw.flushall()

    def run(self, call: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await call

        return self.runner.run(wrapped())

    @initialize(capacities=st.tuples(*[st.integers(1, 2)] * 3))
    def begin(self, capacities: tuple[int, int, int]) -> None:
        opened = [self.run(open_store(RedisSettings(url=self.server.url, cell=self.server.cell))) for _ in range(2)]
        self.store, self.other = opened
        self.model.held = {session_id: self.attach(session_id) for session_id in SESSIONS}
        for number, capacity in enumerate(capacities, 1):
            self.join(f"n{number}", capacity, can("en es", "en es") if number < 3 else can("en", "es"), anew=True)

    def attach(self, session_id: str) -> int:
        return self.run(
            sessions.attach(
                self.store, session_id=session_id, instance_id="s1", tenant="", source="en", target="es",
                mode="one_way", trace_id="t", ttl_ms=600_000,
            )
        )  # fmt: skip

    # Nodes

    @rule(node_id=NODES, capacity=st.integers(1, 3), capability=CAPABILITIES, anew=st.booleans())
    def join(self, node_id: str, capacity: int, capability: Any, anew: bool) -> None:
        old, said = self.model.nodes.get(node_id), self.model.declarations.get(node_id)
        if old and not anew:
            capacity, capability = max(capacity, self.model.load(node_id)), old.offered
        incarnation = old.incarnation if old and not anew else f"{node_id}.{next(self.connections)}"
        joined = self.run(
            nodes.register(
                self.store,
                NodeRegistration(
                    node_id, incarnation, "s1", capability, capacity, lease_ms=600_000, declaration=said,
                    slow_start_ms=0,
                ),
            )
        )  # fmt: skip
        self.model.note_lost(*joined.lost)
        room = self.model.load(node_id)
        self.model.nodes[node_id] = Node(
            said.capacity if said else capacity, incarnation, capability, declaration=said, room=room
        )
        self.model.note_assigned(*joined.assigned)

    @rule(node_id=NODES)
    def recover(self, node_id: str) -> None:
        node, said = self.model.nodes[node_id], self.model.declarations.get(node_id)
        if said and said.scheduling is not Scheduling.ACTIVE:
            self.declare(node_id, said.capacity, said.capability, said.weight, Scheduling.ACTIVE, twice=False)
        self.join(node_id, max(1, node.capacity), node.offered, anew=not node.inside)
        self.drain(node_id, on=False)
        self.beat(node_id, overloaded=False, stale=False, capability=None)

    @rule(node_id=NODES, overloaded=OFTEN_NOT, stale=OFTEN_NOT, capability=st.none() | CAPABILITIES)
    def beat(self, node_id: str, overloaded: bool, stale: bool, capability: Any) -> None:
        node = self.model.nodes.get(node_id)
        incarnation = node.incarnation if node and not stale else "stale"
        said = NodeBeat(
            node_id, incarnation, 600_000, overloaded=overloaded, capability=capability,
            declaration=self.model.declarations.get(node_id),
        )  # fmt: skip
        beaten = self.run(nodes.heartbeat(self.other, said))
        if node is None or not node.inside:
            assert beaten.outcome == "unknown"
        elif stale:
            assert beaten.outcome == "replaced"
        else:
            assert beaten.outcome == "ok"
            node.offered = capability or node.offered
            self.model.note_assigned(*beaten.assigned)

    @rule(node_id=NODES, on=OFTEN_NOT)
    def drain(self, node_id: str, on: bool) -> None:
        if on:
            assert self.run(nodes.drain(self.store, node_id)) == (node_id in self.model.nodes)
        else:
            self.model.note_assigned(*self.run(nodes.undrain(self.store, node_id)))

    @rule(node_id=NODES, stale=st.booleans(), twice=st.booleans())
    def offline(self, node_id: str, stale: bool, twice: bool) -> None:
        node = self.model.nodes.get(node_id)
        incarnation = node.incarnation if node and not stale else "stale"
        lost = self.run(nodes.offline(self.store, node_id, incarnation))
        if node and not stale:
            node.inside = False
        else:
            assert lost == ()
        self.model.note_lost(*lost)
        if twice:
            assert self.run(nodes.offline(self.other, node_id, incarnation)) == ()

    @rule(
        node_id=NODES, capacity=st.integers(1, 3), capability=CAPABILITIES, weight=WEIGHTS, scheduling=SCHEDULING,
        twice=st.booleans(),
    )  # fmt: skip
    def declare(
        self, node_id: str, capacity: int, capability: Any, weight: int, scheduling: Scheduling, twice: bool
    ) -> None:
        said = Declaration(node_id, "u1", next(self.generations), capability, capacity, weight, scheduling)
        assert self.run(declarations.declare(self.store, said)).outcome == "applied"
        self.model.declarations[node_id] = said
        node = self.model.nodes.get(node_id)
        if node and node.inside:
            node.declaration, node.capacity = said, said.capacity
            node.room = max(node.room, self.model.load(node_id))
        elif node and node.declaration:
            # One that is out keeps what it was bounded by, until it comes back.
            assert node.declaration.uid == said.uid
        self.sweep_both()
        if twice:
            assert self.run(declarations.declare(self.other, said)).outcome == "unchanged"

    @rule(node_id=NODES, older=st.booleans())
    def declare_in_vain(self, node_id: str, older: bool) -> None:
        said = self.model.declarations.get(node_id)
        if said is None:
            return
        if older and said.generation > 1:
            with pytest.raises(StaleGeneration):
                self.run(declarations.declare(self.other, replace(said, generation=said.generation - 1, capacity=9)))
        else:
            with pytest.raises(NodeIdTaken):
                self.run(declarations.declare(self.other, replace(said, uid="u2")))

    @rule(node_id=NODES, foreign=OFTEN_NOT, twice=st.booleans())
    def withdraw(self, node_id: str, foreign: bool, twice: bool) -> None:
        known = node_id in self.model.declarations
        if foreign and known:
            assert self.run(declarations.withdraw(self.store, node_id, "u2")).outcome == "taken"
            return
        done = self.run(declarations.withdraw(self.store, node_id, "u1"))
        assert done.outcome == ("removed" if known else "missing")
        if known:
            del self.model.declarations[node_id]
            node = self.model.nodes[node_id]
            assert done.lost == (self.model.load(node_id) if node.inside else 0)
            node.inside, node.declaration = False, None
        self.sweep_both()
        if twice:
            assert self.run(declarations.withdraw(self.other, node_id, "u1")).outcome == "missing"

    @rule(node_id=NODES, capability=CAPABILITIES)
    def join_by_a_declaration_of_yesterday(self, node_id: str, capability: Any) -> None:
        said = self.model.declarations.get(node_id)
        old = replace(said, generation=said.generation + 1) if said else Declaration(node_id, "u1", 1, capability)
        with pytest.raises(Redeclared):
            self.run(
                nodes.register(
                    self.other, NodeRegistration(node_id, "x", "s1", capability, 9, lease_ms=1, declaration=old)
                )
            )

    def now_ms(self) -> int:
        seconds, micros = self.raw.time()
        return int(seconds) * 1000 + int(micros) // 1000

    @rule(node_id=NODES)
    def let_the_lease_lapse(self, node_id: str) -> None:
        if self.raw.zadd(self.keys.nodes_lease(), {node_id: self.now_ms()}, xx=True, ch=True):
            swept = self.sweep_both()
            assert node_id in [name for one in swept for name in one.expired_nodes]

    @rule(node_id=NODES)
    def let_the_back_off_pass(self, node_id: str) -> None:
        if node_id in self.model.nodes:
            self.raw.hset(self.keys.node(node_id), "quarantined_until_ms", 1)

    # Sessions

    @rule(session=st.sampled_from(SESSIONS))
    def go_on_elsewhere(self, session: str) -> None:
        self.model.held[session] = self.attach(session)

    @rule(session=st.sampled_from(SESSIONS), patient=st.booleans())
    def dispatch_from_the_past(self, session: str, patient: bool) -> None:
        if self.model.held[session] == 1:
            return
        before = self.raw.hgetall(self.keys.session(session))
        request = DispatchRequest(
            "stale", session, "s1", EN_ES, 0, "t9", wait_ms=600_000 if patient else 0,
            generation=self.model.held[session] - 1,
        )  # fmt: skip
        with pytest.raises(SessionReplaced):
            self.run(dispatch.dispatch(self.other, request))
        assert self.raw.hgetall(self.keys.session(session)) == before
        assert not self.raw.exists(self.keys.job("stale"))

    # Jobs

    @rule(session=st.sampled_from(SESSIONS), turn=st.sampled_from(["t1", "t2"]), pair=PAIRS)
    def dispatch_a_turn(self, session: str, turn: str, pair: Any) -> None:
        self.dispatch(session, turn, pair, priority=5, patient=True, exclude=[])

    @rule(session=st.sampled_from(SESSIONS), number=st.integers(2, 6))
    def dispatch_many(self, session: str, number: int) -> None:
        for index in range(number):
            self.dispatch(SESSIONS[index % 3], "", EN_ES, priority=4 + index % 3, patient=True, exclude=[])
        self.dispatch(session, "t1", EN_ES, priority=5, patient=True, exclude=[])

    @rule(
        session=st.sampled_from(SESSIONS), turn=st.sampled_from(["", "t1", "t2"]), pair=PAIRS,
        priority=st.integers(4, 6), patient=st.booleans(), exclude=st.lists(NODES, max_size=1),
    )  # fmt: skip
    def dispatch(self, session: str, turn: str, pair: Any, priority: int, patient: bool, exclude: list[str]) -> None:
        job_id = f"j{len(self.requests)}"
        request = DispatchRequest(
            job_id, session, "s1", pair, len(self.requests), turn, priority=priority, exclude=tuple(exclude),
            wait_ms=600_000 if patient else 0, turn_wait_ms=300_000, max_attempts=MAX_ATTEMPTS,
            generation=self.model.held[session],
        )  # fmt: skip
        self.requests[job_id] = request
        self.model.jobs[job_id] = Job("new")
        try:
            self.note_placed(job_id, self.run(dispatch.dispatch(self.store, request)))
        except NoNode:
            assert not patient
            del self.model.jobs[job_id]

    @rule(pick=PICK)
    def dispatch_again(self, pick: int) -> None:
        job_id = choose(self.model.jobs, pick)
        if job_id is None:
            return
        job = self.model.jobs[job_id]
        answer = self.run(dispatch.dispatch(self.other, self.requests[job_id]))
        if isinstance(answer, Assigned):
            assert (answer.attempt_id, answer.node_id) == (1, job.node)
        elif isinstance(answer, Waiting):
            assert job.place == "waiting"
        else:
            assert answer.job_id == job_id

    @rule(pick=PICK, word=st.sampled_from(["mark", "accept", "start"]), twice=st.booleans())
    def say(self, pick: int, word: str, twice: bool) -> None:
        job_id = choose(self.running(), pick)
        if job_id is None:
            return
        job = self.model.jobs[job_id]

        def call(store: Store) -> Awaitable[Any]:
            if word == "mark":
                return jobs.mark_dispatched(store, job_id, job.attempt, job.node, offer_ms=300_000)
            said: Callable[..., Awaitable[Any]] = jobs.accept if word == "accept" else jobs.start
            return said(store, job_id, job.attempt, job.node, job.incarnation)

        assert self.run(call(self.store)).outcome in {"ok", "repeated"}
        if twice:
            assert self.run(call(self.other)).outcome == "repeated"

    @rule(pick=PICK, status=FINAL, blame=st.booleans(), twice=st.booleans())
    def complete(self, pick: int, status: JobStatus, blame: bool, twice: bool) -> None:
        job_id = choose(self.running(), pick)
        if job_id is None:
            return
        said = self.model.jobs[job_id].seen[-1]
        done = self.complete_as(self.store, said, status, blame=blame)
        assert done.outcome == "ok"
        self.model.note_final(job_id, status)
        self.model.note_assigned(*done.assigned)
        if twice:
            assert self.complete_as(self.other, said, status).outcome == "repeated"

    @rule(picks=st.lists(PICK, min_size=1, max_size=5))
    def complete_many(self, picks: list[int]) -> None:
        for pick in picks:
            self.complete(pick, JobStatus.COMPLETED, blame=False, twice=False)

    @rule(pick=PICK, status=FINAL)
    def complete_late(self, pick: int, status: JobStatus) -> None:
        job_id = choose([name for name, job in self.model.jobs.items() if job.seen], pick)
        if job_id is None:
            return
        job = self.model.jobs[job_id]
        late = job.seen[0]
        if job.place == "running" and late is job.seen[-1]:
            return
        done = self.complete_as(self.store, late, status)
        assert done.outcome in {"stale_attempt", "wrong_node", "already_ended", "repeated"}
        assert done.outcome != "repeated" or (job.final == status and late is job.seen[-1])

    @rule(pick=PICK, status=FINAL, lie=st.sampled_from(["later attempt", "earlier attempt", "node", "connection"]))
    def complete_with_a_lie(self, pick: int, status: JobStatus, lie: str) -> None:
        job_id = choose(self.running(), pick)
        if job_id is None:
            return
        said = self.model.jobs[job_id].seen[-1]
        lies: dict[str, dict[str, Any]] = {
            "later attempt": {"attempt_id": said.attempt_id + 1},
            "earlier attempt": {"attempt_id": said.attempt_id - 1},
            "node": {"node_id": "n1" if said.node_id != "n1" else "n2"},
            "connection": {"incarnation": "stale"},
        }
        done = self.complete_as(self.other, replace(said, **lies[lie]), status)
        assert done.outcome == ("stale_attempt" if "attempt" in lie else "wrong_node")

    @rule(pick=PICK, patient=st.booleans(), blame=st.booleans(), twice=st.booleans())
    def failover(self, pick: int, patient: bool, blame: bool, twice: bool) -> None:
        job_id = choose(self.model.jobs, pick)
        if job_id is None:
            return
        job = self.model.jobs[job_id]
        place, attempt = job.place, job.attempt
        reason = "PROCESSING_ERROR" if blame else "peer_unreachable"

        def call(store: Store) -> Awaitable[Any]:
            return jobs.failover(store, job_id, attempt, reason=reason, wait_ms=600_000 if patient else 0)

        answer = self.run(call(self.store))
        if place in {"waiting", "ended"}:
            assert isinstance(answer, Waiting | JobRecord)
            return
        job.place, job.node = "lost", ""
        self.note_placed(job_id, answer)
        if twice:
            again = self.run(call(self.other))
            assert not isinstance(again, EndedJob)
            assert job.place == "ended" or getattr(again, "attempt_id", job.attempt) == job.attempt

    @rule(pick=PICK, status=st.sampled_from([JobStatus.FAILED, JobStatus.CANCELLED]))
    def end(self, pick: int, status: JobStatus) -> None:
        job_id = choose(self.model.jobs, pick)
        if job_id is None:
            return
        ended = self.run(jobs.end(self.store, job_id, status=status))
        if self.model.jobs[job_id].place == "ended":
            assert ended.outcome in {"repeated", "already_ended"}
            return
        assert ended.outcome == "ok"
        self.model.note_final(job_id, status)
        self.model.note_assigned(*ended.assigned)

    @rule(picks=st.lists(PICK, min_size=1, max_size=4))
    def let_time_pass(self, picks: list[int]) -> None:
        now_ms = self.now_ms()
        due = {job_id: now_ms for pick in picks if (job_id := choose(self.model.jobs, pick))}
        if due:
            self.raw.zadd(self.keys.jobs_deadline(), due, xx=True)
            self.sweep_both()

    @rule()
    def sweep_with_nothing_due(self) -> None:
        # On a slow machine the owner's few seconds for a lost job may be over by now.
        ahead_ms = self.now_ms() + sweep.LATE_MS
        lost = {job_id: ahead_ms for job_id, job in self.model.jobs.items() if job.place == "lost"}
        if lost:
            self.raw.zadd(self.keys.jobs_deadline(), lost, xx=True)
        for swept in self.sweep_both():
            assert (swept.lost, swept.ended, swept.expired_nodes) == ((), (), ())

    @rule()
    def forget_the_scripts(self) -> None:
        self.raw.script_flush()

    @invariant()
    def everything_holds(self) -> None:
        Snapshot(self.raw, self.keys).check(self.model)

    def teardown(self) -> None:
        """Let everything go, and see that nothing stays but what ends by itself."""
        for job_id in [name for name, job in self.model.jobs.items() if job.place != "ended"]:
            ended = self.run(jobs.end(self.store, job_id, status=JobStatus.CANCELLED))
            self.model.note_final(job_id, "cancelled")
            self.model.note_assigned(*ended.assigned)
        for node_id, node in self.model.nodes.items():
            self.run(nodes.offline(self.store, node_id, node.incarnation))
        for node_id in list(self.model.declarations):
            self.withdraw(node_id, foreign=False, twice=False)
        for pool_id in list(self.raw.zrange(self.keys.pools_all(), 0, -1)):
            assert self.run(pools.retire(self.store, str(pool_id), idle_ms=0))
        indexes = {self.keys.jobs(status) for status in TERMINAL}
        assert lasting_keys(self.raw) <= {*indexes, self.keys.sessions()}
        for store in (self.store, self.other):
            self.run(store.close())
        self.runner.close()
        self.raw.close()

    def running(self) -> list[str]:
        return [name for name, job in self.model.jobs.items() if job.place == "running"]

    def complete_as(self, store: Store, said: Assigned, status: JobStatus, *, blame: bool = False) -> Any:
        return self.run(
            jobs.complete(
                store, said.job_id, said.attempt_id, said.node_id, said.incarnation, status=status,
                counts_against_node=blame,
            )
        )  # fmt: skip

    def note_placed(self, job_id: str, answer: Any) -> None:
        if isinstance(answer, Assigned):
            self.model.note_assigned(answer)
        elif isinstance(answer, Waiting):
            self.model.jobs[job_id].place = "waiting"
        elif isinstance(answer, EndedJob):
            self.model.note_ended(answer)
        self.model.note_assigned(*answer.also)

    def sweep_both(self, *, expire_leases: bool = True) -> list[Any]:
        async def both() -> list[Any]:
            both_stores = (self.store, self.other)
            sweeps = (sweep.sweep(store, expire_leases=expire_leases, lease_ms=600_000) for store in both_stores)
            return list(await asyncio.gather(*sweeps))

        swept = self.runner.run(both())
        for one in swept:
            self.model.note_lost(*one.lost)
            self.model.note_ended(*one.ended)
            for name in one.expired_nodes:
                self.model.nodes[name].inside = False
        for one in swept:
            self.model.note_assigned(*one.assigned)
        return swept


def test_the_state_stays_whole_whatever_is_called(valkey: Server) -> None:
    search(States, valkey, examples=30, steps=40)


@pytest.mark.search
@pytest.mark.timeout(1_800)
def test_the_state_stays_whole_in_a_long_search(server: Server) -> None:
    search(States, server, examples=300, steps=80)
