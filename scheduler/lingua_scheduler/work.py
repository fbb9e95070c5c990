"""A job as instances hand it on: the work itself, how it gets to a node, what the node says, and how it ends.

Plain values. The instance that owns the session owns the job: it alone decides about next attempts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lingua_state.models import Assigned, DispatchRequest, EndedJob, LostJob
    from lingua_wire.codes import ErrorCode
    from lingua_wire.node_messages import JobAck, JobResult, JobStarted, NodeAsrPartial


@dataclass(frozen=True, slots=True)
class Work:
    """One utterance to translate: what the store decides on, what the node is told, and the audio.

    ``head`` are the fields of ``job_assign`` without attempt and audio, ready for JSON.
    """

    request: DispatchRequest
    head: Mapping[str, Any]
    audio: bytes = field(repr=False)

    @property
    def job_id(self) -> str:
        """Name the job."""
        return self.request.job_id


@dataclass(frozen=True, slots=True)
class Delivery:
    """A job on its way from its owner to the instance that holds the node's socket."""

    job_id: str
    owner: str
    attempt_id: int
    node_id: str
    incarnation: str
    head: Mapping[str, Any]
    audio: bytes = field(repr=False)
    offer_ms: int | None = None
    """Within which time the node must acknowledge; None: it never does."""

    def without_audio(self) -> Delivery:
        """Give what is kept of it once the audio is on the node's socket."""
        return replace(self, audio=b"")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A delivery that did not reach the node's socket."""

    job_id: str
    attempt_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Recall:
    """The owner takes a job back: nobody wants its result, or it goes elsewhere."""

    job_id: str
    attempt_id: int
    node_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SessionWord:
    """What instances tell each other about a session whose client went from one to the other (sessions/handover).

    ``generation`` is the one in which the asking instance holds it; ``what`` says how to read ``head`` and ``body``.
    """

    session_id: str
    generation: int
    sender: str
    what: str
    head: Mapping[str, Any] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


NodeWord: TypeAlias = "JobAck | JobStarted | NodeAsrPartial | JobResult"


@dataclass(frozen=True, slots=True)
class Said:
    """What a node said about a job, checked to be its job, on the way to the owner. ``speech``: from binary frames."""

    job_id: str
    attempt_id: int
    node_id: str
    incarnation: str
    word: NodeWord = field(repr=False)
    speech: bytes | None = field(default=None, repr=False)


Notice: TypeAlias = "Assigned | LostJob | EndedJob"


@dataclass(frozen=True, slots=True)
class Done:
    """A job has its result; ``completed`` false: a base node kept quiet about it and went on."""

    result: JobResult | None
    speech: bytes | None
    node_id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A job has no result and gets none. ``audio_lost``: only because its audio is not here any more. ``made_before``
    names the job that has the same request id. ``unowned``: the store ended it since it heard nothing of its owner in
    time, so that nobody is to blame: it may be begun anew."""

    code: ErrorCode
    message: str
    audio_lost: bool = False
    made_before: str = ""
    unowned: bool = False


Outcome: TypeAlias = "Done | Failed"


class JobView(Protocol):
    """What the asker of a job sees of it."""

    @property
    def work(self) -> Work:
        """What was asked for."""

    @property
    def assigned(self) -> Assigned | None:
        """Where it is now."""


class Asker(Protocol):
    """Whoever wants a job's result: a session, or one HTTP call. Called in the event loop; must not block or raise."""

    @property
    def generation(self) -> int:
        """Tell in which generation this instance holds the job's session now; 0: it holds none."""

    def job_waiting(self, job: JobView) -> None:
        """Note that no node is free yet."""

    def job_assigned(self, job: JobView) -> None:
        """Note that the job has a node."""

    def job_accepted(self, job: JobView, *, released: bool) -> None:
        """Note that the node confirmed the job; ``released``: its audio is not held here any more."""

    def job_partial(self, job: JobView, partial: NodeAsrPartial) -> None:
        """Take what was heard so far."""

    def job_lost(self, job: JobView) -> None:
        """Note that the attempt is lost and another begins."""

    def job_ended(self, job: JobView, outcome: Outcome) -> None:
        """Take the outcome; nothing follows."""
