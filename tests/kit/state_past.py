"""What becomes of jobs when the store is back at an older state, or its clock jumps: rules of the stateful test."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from kit.store_past import StoreCopy, let_time_jump
from lingua_state import nodes
from lingua_state.models import JobStatus, NodeBeat

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import TypeVar

    from kit.redis_servers import Server
    from kit.state_model import Model
    from lingua_state.client import Store
    from lingua_state.keys import Keys
    from lingua_state.models import Assigned

    T = TypeVar("T")

_MINUTES_15 = 900_000
_SAID = (JobStatus.COMPLETED, JobStatus.FAILED)


class WithAPast(RuleBasedStateMachine):
    """Rules about time. What a store lost with its last state must not be believed when it comes back as a word."""

    server: Server
    model: Model
    keys: Keys
    store: Store
    raw: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.copy: tuple[StoreCopy, Model] | None = None
        self.undone: list[Assigned] = []

    def run(self, call: Awaitable[T]) -> T:
        """Wait for a call."""
        raise NotImplementedError

    def sweep_both(self, *, expire_leases: bool = True) -> list[Any]:
        """Let two instances sweep at once, and take in what came of it."""
        raise NotImplementedError

    def complete_as(self, store: Store, said: Assigned, status: JobStatus, *, blame: bool = False) -> Any:
        """Say how a job ended, in the name of who had that attempt."""
        raise NotImplementedError

    @rule(back=st.booleans(), late=st.lists(st.integers(0, 999), max_size=3), status=st.sampled_from(_SAID))
    def copy_the_store_or_go_back_to_the_copy(self, back: bool, late: list[int], status: JobStatus) -> None:
        with redis.Redis(port=self.server.process.port) as raw:
            if not back or self.copy is None:
                self.copy = StoreCopy.of(raw), deepcopy(self.model)
                return
            copy, model = self.copy
            copy.put_back(raw)
        known = {job_id: job.seen for job_id, job in model.jobs.items()}
        lost = [said for job_id, job in self.model.jobs.items() for said in job.seen]
        self.undone += [said for said in lost if said not in known.get(said.job_id, [])]
        self.model = deepcopy(model)
        for pick in late:
            self.complete_what_was_undone(pick, status)

    def complete_what_was_undone(self, pick: int, status: JobStatus) -> None:
        """Say the result of an attempt that the store lost: it counts only if just that attempt was made again."""
        if not self.undone:
            return
        said = self.undone[pick % len(self.undone)]
        job = self.model.jobs.get(said.job_id)
        done = self.complete_as(self.store, said, status)
        if job is None:
            assert done.outcome == "missing"
        elif job.place == "running" and job.holder == (said.attempt_id, said.node_id, said.incarnation):
            assert done.outcome == "ok"
            self.model.note_final(said.job_id, status)
            self.model.note_assigned(*done.assigned)
        else:
            assert done.outcome in {"stale_attempt", "wrong_node", "already_ended", "repeated"}

    @rule(minutes=st.sampled_from([-15, 15]), spared=st.booleans())
    def let_the_clock_jump(self, minutes: int, spared: bool) -> None:
        let_time_jump(self.raw, self.keys, minutes // 15 * _MINUTES_15)
        swept = self.sweep_both(expire_leases=not spared)
        expired = [name for one in swept for name in one.expired_nodes]
        assert len(expired) == len(set(expired)), "each is taken out once"
        assert not expired or (minutes > 0 and not spared)
        # Who is still in has a lease again before anything is asked of it.
        for node_id, node in self.model.nodes.items():
            if node.inside:
                beaten = self.run(nodes.heartbeat(self.store, NodeBeat(node_id, node.incarnation, 600_000)))
                assert beaten.outcome == "ok"
                self.model.note_assigned(*beaten.assigned)
