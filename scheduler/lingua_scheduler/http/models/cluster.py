"""Sessions, instances, figures, health and explanations."""

from typing import Self

from pydantic import Field, model_validator

from lingua_scheduler.http.models.common import Answer, Asked, Id, Language, Millis, Page, PairView, Tenant
from lingua_state.models import JobStatus


class SessionView(Answer):
    """A session, without a word of what is said in it."""

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
    created_ms: Millis
    touched_ms: Millis
    trace_id: str


class SessionPage(Page):
    """Sessions."""

    sessions: list[SessionView]


class InstanceView(Answer):
    """A scheduler process."""

    instance_id: str
    address: str
    version: str
    sessions: int
    nodes: int
    draining: bool
    started_ms: Millis
    expires_ms: Millis


class ClusterAnswer(Answer):
    """All instances that are alive."""

    now_ms: Millis
    instance_id: str = Field(description="The one that answers.")
    instances: list[InstanceView]


class StatsAnswer(Answer):
    """Figures of the whole cell at one moment."""

    now_ms: Millis
    instance_id: str
    version: str
    uptime_s: float
    draining: bool
    sessions: int
    nodes: int
    capacity: int = Field(description="Jobs that all nodes which may be chosen take at once.")
    free: int = Field(description="Jobs that could start now.")
    instances: int
    waiting: int
    oldest_wait_ms: int
    jobs: dict[JobStatus, int]
    store_ping_ms: float


class ExplainQuery(Asked):
    """For whom a node would be chosen."""

    src: Language
    tgt: Language
    session: Id | None = Field(None, description="A session whose turn and node count.")
    tenant: Tenant | None = Field(None, description="Only while authentication is off, or for an admin.")
    both_ways: bool = Field(False, description="Both directions must be served (two_way_auto).")
    lang_a: Language | None = None
    lang_b: Language | None = None
    pairing_code: str | None = Field(None, max_length=128)

    @model_validator(mode="after")
    def _two_languages(self) -> Self:
        if self.src == self.tgt:
            raise ValueError("src and tgt must differ")
        if (self.lang_a is None) != (self.lang_b is None) or (self.lang_a and self.lang_a == self.lang_b):
            raise ValueError("lang_a and lang_b go together and must differ")
        if self.both_ways and self.src == "auto" and self.lang_a is None:
            raise ValueError("both_ways with src=auto needs lang_a and lang_b")
        return self


class CandidateView(Answer):
    """A node that was looked at."""

    node_id: str
    pool_id: str
    eligible: bool
    reason: str = Field(description="Why not, in one word; or why it is the chosen one.")
    score: int = Field(description="Load by capacity, in millionths: the lowest is chosen.")


class ExplainAnswer(Answer):
    """Which node would be chosen now, and why not each other one. Nothing is reserved."""

    now_ms: Millis
    pair: PairView
    chosen: str | None
    candidates: list[CandidateView]


class FindingView(Answer):
    """Something about the store that is wrong or doubtful, and what to do."""

    level: str
    code: str
    message: str
    remedy: str


class LiveAnswer(Answer):
    """The process works."""

    live: bool


class ReadyAnswer(Answer):
    """Whether this instance takes new work."""

    ready: bool
    draining: bool
    store: bool


class HealthAnswer(Answer):
    """Live, ready, and what to look at."""

    live: bool
    ready: bool
    draining: bool
    store: bool
    store_ping_ms: float | None
    instance_id: str
    version: str
    uptime_s: float
    findings: list[FindingView]
