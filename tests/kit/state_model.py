"""What must hold of nodes and jobs after every step, read from the raw keys and compared with a plain model."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from lingua_state.declared import Scheduling, bound, declared_digest, digest_of_sums
from lingua_state.models import TERMINAL, JobStatus

if TYPE_CHECKING:
    import redis

    from lingua_state.declared import Declaration
    from lingua_state.keys import Keys
    from lingua_state.models import Assigned, Capability, EndedJob, LostJob

#: No value is larger, and no job takes more (docs/guarantees.md).
_VALUE_BYTES, _JOB_BYTES = 16_384, 4_096
MAX_ATTEMPTS = 3
RUNNING = {"assigned", "dispatched", "accepted", "processing"}
ENDED = {status.value for status in TERMINAL}


@dataclass
class Node:
    """A node as the test knows it. ``offered`` is what its process says; ``room`` is more than ``capacity`` where the
    node had more jobs when its capacity went down."""

    capacity: int
    incarnation: str
    offered: Capability
    inside: bool = True
    declaration: Declaration | None = None
    room: int = 0

    @property
    def capability(self) -> Capability:
        """Say what it may be chosen for."""
        return bound(self.declaration, self.offered).capability if self.declaration else self.offered

    def score(self, load: int, slots: int) -> int:
        """Say how busy it must look, by its weight."""
        weight = self.declaration.weight if self.declaration else 100
        if load >= slots or weight == 100:
            return load * 1_000_000 // slots
        if weight == 0:
            return 999_000 + load * 999 // slots
        share = ((load + 1) * 100 / weight - 1) / slots
        return min(998_999, math.floor((1 - 0.09 / share if share > 0.9 else share) * 1_000_000))


@dataclass
class Job:
    """A job as the test knows it. ``place``: waiting, running, lost or ended."""

    place: str
    attempt: int = 0
    node: str = ""
    incarnation: str = ""
    final: str = ""
    seen: list[Assigned] = field(default_factory=list)

    @property
    def holder(self) -> tuple[int, str, str]:
        """Say whose word counts: of which attempt, node and connection."""
        return self.attempt, self.node, self.incarnation


@dataclass
class Model:
    """Everything the test did, and what came of it. ``held``: the generation in which each session is held."""

    held: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    declarations: dict[str, Declaration] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)

    def load(self, node_id: str) -> int:
        """Count the jobs that run on a node."""
        return sum(job.place == "running" and job.node == node_id for job in self.jobs.values())

    def note_assigned(self, *found: Assigned) -> None:
        """Take in that jobs got nodes, each of which must be there and have room."""
        for one in found:
            job, node = self.jobs[one.job_id], self.nodes[one.node_id]
            assert job.place in {"waiting", "new", "lost"}, f"{one.job_id} was {job.place}"
            assert one.attempt_id == job.attempt + 1, f"{one.job_id}: attempt {one.attempt_id} after {job.attempt}"
            assert one.attempt_id <= MAX_ATTEMPTS, f"{one.job_id} goes round for ever"
            assert node.inside
            assert one.incarnation == node.incarnation
            job.place, job.attempt, job.node, job.incarnation = "running", one.attempt_id, one.node_id, one.incarnation
            job.seen.append(one)
            assert self.load(one.node_id) <= node.capacity, f"{one.node_id} is over its capacity"

    def note_lost(self, *found: LostJob) -> None:
        """Take in that attempts ended, each of which must have run."""
        for one in found:
            job = self.jobs[one.job_id]
            assert (job.place, job.attempt, job.node) == ("running", one.attempt_id, one.node_id)
            job.place, job.node = "lost", ""

    def note_ended(self, *found: EndedJob) -> None:
        """Take in that jobs were ended, none of them before."""
        for one in found:
            self.note_final(one.job_id, "failed")

    def note_final(self, job_id: str, status: str) -> None:
        """Take in the end of a job."""
        job = self.jobs[job_id]
        assert job.place != "ended", f"{job_id} ended twice"
        job.place, job.final = "ended", status


class Snapshot:
    """All keys of a store at one moment."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self.client, self.keys = client, keys
        names: Any = list(client.scan_iter("*", count=10_000))
        self.values = dict(zip((name.removeprefix(keys.root) for name in names), self._read(names), strict=True))

    def _read(self, names: list[str]) -> list[Any]:
        """Read everything in two round trips, since it is done after each step."""
        with self.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.type(name)
            for name, kind in zip(names, pipe.execute(), strict=True):
                readers: dict[str, Any] = {"hash": pipe.hgetall, "set": pipe.smembers, "string": pipe.get}
                reader = readers.get(str(kind), lambda key: pipe.zrange(key, 0, -1, withscores=True))
                reader(name)
            return [dict(value) if isinstance(value, list) else value for value in pipe.execute()]

    def get(self, name: str) -> Any:
        """Read a key; an absent one is empty."""
        return self.values.get(name, {})

    def check(self, model: Model) -> None:
        """Fail at the first thing that does not hold."""
        self._check_sizes()
        for job_id, job in model.jobs.items():
            self._check_job(job_id, job)
        for node_id, node in model.nodes.items():
            self._check_node(node_id, node, model)
        self._check_indexes(model)
        self._check_declarations(model)
        self._check_nobody_waits_in_vain(model)

    def _check_sizes(self) -> None:
        for name, value in self.values.items():
            parts = [*value, *value.values()] if isinstance(value, dict) else value
            sizes = [len(str(part)) for part in parts]
            assert max(sizes, default=0) <= _VALUE_BYTES, f"{name} is as large as audio"
            assert not name.startswith("job:") or sum(sizes) <= _JOB_BYTES, f"{name} takes too much"

    def _check_job(self, job_id: str, job: Job) -> None:
        record = self.get(f"job:{job_id}")
        status, queue = record["status"], record.get("queue", "")
        place = (
            "ended" if status in ENDED else "running" if status in RUNNING else "waiting" if queue else "lost"
        )  # fmt: skip
        assert place == job.place, f"{job_id} is {place}, should be {job.place}"
        assert int(record["attempt_id"]) == job.attempt
        assert (job_id in self.get("jobs:deadline")) == (place != "ended")
        holders = [name for name in self.values if name.endswith(":jobs") and job_id in self.values[name]]
        assert holders == ([f"node:{job.node}:jobs"] if place == "running" else [])
        queues = [name for name, value in self.values.items() if "waiting:" in name and job_id in value]
        queues += [name for name, value in self.values.items() if name.endswith(":waiting") and job_id in value]
        assert len(queues) == (1 if place == "waiting" else 0), f"{job_id} is {place} and in {queues}"
        if place == "ended":
            assert status == job.final, f"{job_id} ended {job.final} and is {status} now"

    def _check_node(self, node_id: str, node: Node, model: Model) -> None:
        record = self.get(f"node:{node_id}")
        assert (node_id in self.get("nodes:lease")) == node.inside == (node_id in self.get("nodes:all"))
        load = int(record["load"])
        assert load == len(self.get(f"node:{node_id}:jobs")) == model.load(node_id) <= max(node.capacity, node.room)
        scores = [value[node_id] for name, value in self.values.items() if self._is_pool(name) and node_id in value]
        level = int(record.get("quarantine_level", 0))
        held = node.declaration is not None and node.declaration.scheduling is not Scheduling.ACTIVE
        out = record["reported"] != "ready" or record.get("drained") == "1" or held
        assert record.get("uid", "") == (node.declaration.uid if node.declaration else "")
        if not node.inside or out:
            assert scores == [], f"{node_id} may not be chosen"
        elif level == 0:
            assert scores == [node.score(load, node.capacity)]
        elif scores:
            assert scores == [node.score(load, 1)]

    def _check_indexes(self, model: Model) -> None:
        for status in JobStatus:
            members = {job_id for job_id in model.jobs if self.get(f"job:{job_id}")["status"] == status}
            assert set(self.get(f"jobs:{status}")) == members, status
        queues = {name.removeprefix("waiting:") for name in self.values if name.startswith("waiting:")}
        assert set(self.get("waiting")) == queues
        heads = {name: min(self.get(f"waiting:{name}").values()) for name in queues}
        assert set(self.get("waits")) == queues, "plain wants of everybody are their own names"
        assert {name: self.get(f"waits:{name}") for name in queues} == {name: {name: heads[name]} for name in queues}
        for name in [name for name in self.values if name.startswith("pool:") and name.endswith(":def")]:
            pool_id = name.split(":")[1]
            inside = [node for node in model.nodes.values() if node.inside and node.capability.pool_id == pool_id]
            assert int(self.get(name)["nodes"]) == len(inside)
            named = [one for one in model.declarations.values() if one.capability.pool_id == pool_id]
            assert int(self.get(name).get("declared", 0)) == len(named)
            assert (self.get("pools:all")[pool_id] == 0) == bool(inside or named), "it would be retired, or never"

    def _check_declarations(self, model: Model) -> None:
        assert self.get("nodes:declared") == {name: one.text() for name, one in model.declarations.items()}
        sums = self.get("nodes:declared:sums")
        parts = digest_of_sums(int(sums.get(name, 0)) for name in "abc")
        assert parts == declared_digest(model.declarations.values())
        inside = [name for name in model.declarations if name in model.nodes and model.nodes[name].inside]
        marks = [sha1(f"{name} {self.get(f'node:{name}')['status']}".encode()).hexdigest()[:11] for name in inside]
        assert int(sums.get("live", 0)) == sum(int(mark, 16) for mark in marks)

    def _check_nobody_waits_in_vain(self, model: Model) -> None:
        for job_id, job in model.jobs.items():
            if job.place == "waiting" and self.get(f"job:{job_id}")["queue"] == "*":
                record = self.get(f"job:{job_id}")
                for node_id, node in model.nodes.items():
                    assert not self._could_have(record, node_id, node, model), f"{job_id} waits, {node_id} is free"

    def _could_have(self, record: dict[str, str], node_id: str, node: Node, model: Model) -> bool:
        request = json.loads(record["request"])
        if node_id in record.get("exclude", "").split(","):
            return False
        if request["want"] not in {str(pair) for pair in node.capability.pairs()}:
            return False
        pool = self.get(f"pool:{node.capability.pool_id}:nodes")
        if pool.get(node_id, 1_000_000) >= 1_000_000:
            return False
        session = self.values.get(self.keys.session(request["session_id"]), {})
        held_by = session.get("turn_node", "") if session.get("turn_id") == request["turn_id"] else ""
        return held_by in {"", node_id}

    @staticmethod
    def _is_pool(name: str) -> bool:
        return name.startswith("pool:") and name.endswith(":nodes")


def lasting_keys(client: redis.Redis) -> set[str]:
    """Name the keys that have no end."""
    return {key for key in client.scan_iter("*", count=1000) if client.ttl(key) == -1}
