"""The records that Redis holds and the requests that change them, as frozen values.

Times are milliseconds of the Redis clock; a caller never sends "now". No record has a field that could hold audio.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lingua_state.declared import Declaration

#: The source language of a request whose speaker was not named: the node finds out.
AUTO = "auto"


class NodeStatus(StrEnum):
    """Where a node is in its life. Only ``ready`` ones are chosen; ``degraded`` means overloaded, or failing too often:
    such a one gets one job at a time to prove itself once its back-off is over."""

    REGISTERING = "registering"
    READY = "ready"
    DEGRADED = "degraded"
    DRAINING = "draining"
    OFFLINE = "offline"


class JobStatus(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    ASSIGNED = "assigned"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    PROCESSING = "processing"
    COMPLETED = "completed"
    COMPLETED_NO_TEXT = "completed_no_text"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.COMPLETED_NO_TEXT, JobStatus.FAILED, JobStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class Pair:
    """A directed language pair: ``source`` is heard (or ``auto``), ``target`` is spoken."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}:{self.target}"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a node: everybody, or the named tenants, or the holders of a pairing code (its SHA-256, hex)."""

    public: bool = True
    tenants: tuple[str, ...] = ()
    pairing: str | None = None


@dataclass(frozen=True, slots=True)
class Capability:
    """What a node can do. Nodes with equal capabilities share one class, named by :attr:`pool_id`.

    ``asr`` are the languages it hears, ``targets`` the ones it produces, ``exclude`` pairs of the product it does not
    serve, ``auto`` whether it finds the spoken language by itself.
    """

    asr: tuple[str, ...]
    targets: tuple[str, ...]
    exclude: tuple[Pair, ...] = ()
    auto: bool = False
    access: Access = field(default_factory=Access)

    def canonical(self) -> str:
        """Write the capability so that equal ones are equal text: sorted, without spaces."""
        return json.dumps(
            {
                "asr": sorted(set(self.asr)),
                "targets": sorted(set(self.targets)),
                "exclude": sorted({str(pair) for pair in self.exclude}),
                "auto": self.auto,
                "public": self.access.public,
                "tenants": sorted(set(self.access.tenants)),
                "pairing": self.access.pairing,
            },
            separators=(",", ":"),
            sort_keys=True,
        )

    @property
    def pool_id(self) -> str:
        """Name the class: the first 16 hex digits of the SHA-1 of the canonical text."""
        return hashlib.sha1(self.canonical().encode(), usedforsecurity=False).hexdigest()[:16]

    @classmethod
    def read(cls, canonical: str) -> Capability:
        """Read what :meth:`canonical` wrote."""
        found = json.loads(canonical)
        return cls(
            asr=tuple(found["asr"]),
            targets=tuple(found["targets"]),
            exclude=tuple(Pair(*name.split(":", 1)) for name in found["exclude"]),
            auto=found["auto"],
            access=Access(found["public"], tuple(found["tenants"]), found["pairing"]),
        )

    def pairs(self) -> tuple[Pair, ...]:
        """List the pairs served, without ``auto`` ones, sorted."""
        excluded = set(self.exclude)
        product = (Pair(source, target) for source in sorted(set(self.asr)) for target in sorted(set(self.targets)))
        return tuple(pair for pair in product if pair.source != pair.target and pair not in excluded)

    def listed_pairs(self) -> tuple[Pair, ...]:
        """List the pairs served, with ``auto:target`` ones where the node finds the language by itself."""
        pairs = self.pairs()
        targets = sorted({pair.target for pair in pairs}) if self.auto else []
        return pairs + tuple(Pair(AUTO, target) for target in targets)


@dataclass(frozen=True, slots=True)
class ClassBounds:
    """How many classes of nodes there may be: known at once, and new ones of one node within ``window_ms``; 0: any
    number."""

    total: int = 0
    per_node: int = 0
    window_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class NodeRegistration:
    """What a node says when it joins.

    ``incarnation`` is random per connection: the newest one holds the node. ``declaration`` is that of a declared node,
    as it was read: it bounds the ``capability`` and the ``services`` that the process names, and gives capacity and
    access. ``acks`` says that the node confirms jobs,
    so an offer may time out. ``document`` is shown to people, never decided on, and holds no secret. A node that was
    not known looks busier than it is for ``slow_start_ms`` (0: not at all; the weight fades over the last 20 s), or it
    would take every new session.
    """

    node_id: str
    incarnation: str
    instance_id: str
    capability: Capability
    capacity: int
    lease_ms: int
    declaration: Declaration | None = None
    services: tuple[str, ...] = ()
    ready: bool = True
    acks: bool = False
    version: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    slow_start_ms: int = 20_000
    bounds: ClassBounds = ClassBounds()


@dataclass(frozen=True, slots=True)
class NodeBeat:
    """One heartbeat. ``capability`` is given only when the languages changed; ``overloaded`` takes the node out of
    selection until a later beat says otherwise; ``draining`` is the node's own wish to get nothing new. ``declaration``
    bounds the ``capability`` of a declared node, as when it joined."""

    node_id: str
    incarnation: str
    lease_ms: int
    ready: bool = True
    overloaded: bool = False
    draining: bool = False
    capability: Capability | None = None
    declaration: Declaration | None = None
    resources: dict[str, float] = field(default_factory=dict)
    bounds: ClassBounds = ClassBounds()


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node as Redis holds it. What a declaration gives is empty for one that came by itself: ``uid``,
    ``generation``, ``scheduling`` and what the process ``offered`` by its own word."""

    node_id: str
    status: NodeStatus
    incarnation: str
    instance_id: str
    pool_id: str
    capability: Capability
    capacity: int
    load: int
    acks: bool
    version: str
    registered_ms: int
    heartbeat_ms: int
    lease_expires_ms: int
    completed: int
    failed: int
    quarantined_until_ms: int
    resources: dict[str, float]
    document: dict[str, Any]
    uid: str = ""
    generation: int = 0
    weight: int = 100
    scheduling: str = ""
    offered: Capability | None = None


@dataclass(frozen=True, slots=True)
class DispatchRequest:
    """One finalized utterance that wants a node.

    ``pair.source`` may be ``auto``: then ``languages`` are the candidates (empty: any). ``both_ways`` asks for a node
    that serves the pair of ``languages`` in both directions (two_way_auto). ``priority`` 0 is served first, 9 last.
    ``expected_ms`` is the expected processing time where known (0: unknown). ``handover_ms`` bounds the time from the
    assignment to the moment the job is on the node's socket. ``turn_wait_ms`` is how long the job waits for the node
    that holds its turn when that is full. ``queue_limit`` bounds the jobs that wait for the same. ``wait_ms`` 0: don't
    wait. ``generation`` is that of the caller's attach of the session; 0: it holds none, and nothing is compared.
    """

    job_id: str
    session_id: str
    owner: str
    pair: Pair
    utterance_index: int
    turn_id: str
    languages: tuple[str, ...] = ()
    both_ways: bool = False
    tenant: str = ""
    pairing: str | None = None
    request_id: str | None = None
    priority: int = 5
    wait_ms: int = 10_000
    turn_wait_ms: int = 2_000
    queue_limit: int = 10_000
    timeout_ms: int = 60_000
    handover_ms: int = 3_000
    expected_ms: int = 0
    max_attempts: int = 3
    generation: int = 0
    exclude: tuple[str, ...] = ()
    """Nodes that must not have it; ``@`` and the name of an instance: all that are connected there."""
    audio_ms: int = 0
    audio_format: str = "pcm16"
    sample_rate: int = 16_000
    finalize_reason: str = ""
    trace_id: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    """Features, dialect, pipeline flags: kept with the job for people and other instances, never decided on."""


class Affinity(StrEnum):
    """Why this node: it holds the turn's audio, it has the session's context, or it was the least loaded."""

    TURN = "turn"
    SESSION = "session"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Assigned:
    """A job has a node and the node's slot is taken. ``owner`` is the instance that holds the audio and must send it.

    ``moved_from`` names the session's node before, when the job went elsewhere.
    """

    job_id: str
    session_id: str
    owner: str
    attempt_id: int
    node_id: str
    incarnation: str
    node_instance: str
    acks: bool
    affinity: Affinity
    deadline_ms: int
    moved_from: str | None = None
    also: tuple[Assigned, ...] = ()
    """Other jobs that the same call gave a node, since it freed a slot: tell their owners."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """No node is free: the job waits until ``until_ms`` (Redis clock); ``ahead`` jobs of its queue come first."""

    job_id: str
    until_ms: int
    ahead: int
    also: tuple[Assigned, ...] = ()


@dataclass(frozen=True, slots=True)
class LostJob:
    """A job whose attempt ended without an answer. Its owner decides: next attempt, or failed."""

    job_id: str
    session_id: str
    owner: str
    attempt_id: int
    node_id: str
    status: JobStatus
    reason: str
    """``node_lost``, ``node_replaced``, ``offer_timeout``, ``handover_timeout``, ``job_timeout`` or ``drain``."""


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that the sweep or a failover brought to its end, with the error for its client."""

    job_id: str
    session_id: str
    owner: str
    code: str
    also: tuple[Assigned, ...] = ()


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as Redis holds it: metadata only."""

    job_id: str
    session_id: str
    owner: str
    status: JobStatus
    attempt_id: int
    node_id: str
    pair: Pair
    utterance_index: int
    turn_id: str
    tenant: str
    request_id: str | None
    trace_id: str
    finalize_reason: str
    audio_ms: int
    audio_format: str
    sample_rate: int
    created_ms: int
    assigned_ms: int
    dispatched_ms: int
    accepted_ms: int
    started_ms: int
    ended_ms: int
    due_ms: int
    expected_ms: int
    affinity: Affinity
    moved_from: str | None
    tried_nodes: tuple[str, ...]
    error_code: str | None
    error_message: str | None
    details: dict[str, Any]
    timings: dict[str, float]


@dataclass(frozen=True, slots=True)
class Transition:
    """What came of a word about a job: ``ok``, ``repeated`` (said before, nothing changed), or a refusal:
    ``stale_attempt``, ``wrong_node``, ``already_ended``, ``missing``.

    ``record`` is the job as it stands where the word was refused, and as it was before where its owner ended it; else
    None. ``assigned`` are the waiting jobs that got the freed slot: tell their owners.
    """

    outcome: str
    record: JobRecord | None = None
    assigned: tuple[Assigned, ...] = ()


@dataclass(frozen=True, slots=True)
class Registered:
    """A node is in. ``lost`` are the jobs of its incarnation before, ``assigned`` the waiting jobs it got at once."""

    status: NodeStatus
    lost: tuple[LostJob, ...] = ()
    assigned: tuple[Assigned, ...] = ()


@dataclass(frozen=True, slots=True)
class Beaten:
    """What came of a heartbeat: ``ok``, ``unknown`` (register again) or ``replaced`` (a newer connection holds it)."""

    outcome: str
    status: NodeStatus = NodeStatus.OFFLINE
    assigned: tuple[Assigned, ...] = ()


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did. ``more``: call again at once; ``now_ms``: the store's clock."""

    lost: tuple[LostJob, ...] = ()
    ended: tuple[EndedJob, ...] = ()
    expired_nodes: tuple[str, ...] = ()
    assigned: tuple[Assigned, ...] = ()
    more: bool = False
    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class PoolSummary:
    """A class. ``free`` are the jobs that could start now, of ``capacity`` in all (nodes that may be chosen only;
    estimated from a sample in a large class). ``declared``: nodes that are to be of it, connected or not."""

    pool_id: str
    capability: Capability
    nodes: int
    choosable: int
    capacity: int
    free: int
    declared: int = 0


@dataclass(frozen=True, slots=True)
class PairSummary:
    """A pair that is offered or waited for. ``scope`` is "" for everybody, else the tenant it is private to, or ``#``
    where it belongs to the holders of a pairing code."""

    pair: Pair
    scope: str
    classes: int = 0
    nodes: int = 0
    declared: int = 0
    free: int = 0
    waiting: int = 0
    oldest_wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that was looked at. ``reason``: ``chosen``, ``eligible``, ``probing`` (one job to prove itself), or why
    not: ``full``, ``excluded``, ``lease_stale``, ``pair_excluded``, ``quarantined``, ``registering``, ``overloaded``,
    ``draining``, ``offline``, ``other_scope`` (private to others), ``not_offered``, ``missing``."""

    node_id: str
    pool_id: str
    eligible: bool
    reason: str
    score: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which node a job would get now, and each node with a reason."""

    chosen: str | None
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as Redis holds it."""

    session_id: str
    instance_id: str
    generation: int
    tenant: str
    source: str
    target: str
    mode: str
    node_id: str | None
    turn_id: str | None
    utterances: int
    created_ms: int
    touched_ms: int
    trace_id: str


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """Something a client was told, kept until it has it. ``entry`` is text that only the scheduler reads."""

    seq: int
    entry: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Told:
    """How far a session's client was told: the last event, the last one it surely has, the first sample that no outcome
    stands for, the index after the last outcome."""

    seq: int
    acked: int
    consumed: int
    next_index: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """A session as its new connection finds it. ``instance_before`` held the connection before."""

    generation: int
    instance_before: str
    seq: int
    consumed: int
    next_index: int
    events: tuple[KeptEvent, ...]


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """A scheduler process: where its peers reach it and how full it is."""

    instance_id: str
    address: str
    version: str
    sessions: int
    nodes: int
    draining: bool
    started_ms: int
    expires_ms: int
