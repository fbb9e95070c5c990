"""Jobs as the API shows them: metadata only, never audio or text."""

from typing import Any

from pydantic import Field

from lingua_scheduler.http.models.common import Answer, Millis, Page, PageQuery, PairView
from lingua_state.models import Affinity, JobStatus


class JobQuery(PageQuery):
    """Which jobs to list."""

    status: JobStatus | None = Field(None, description="Only jobs of this status; without it the newest of all.")


class JobView(Answer):
    """A job: where it is in its life and why."""

    job_id: str
    session_id: str
    owner: str = Field(description="The instance that holds the session.")
    status: JobStatus
    attempt_id: int
    node_id: str
    pair: PairView
    utterance_index: int
    turn_id: str
    tenant: str
    trace_id: str
    finalize_reason: str
    audio_ms: int
    affinity: Affinity = Field(description="Why this node: it holds the turn or the session's context, or was freest.")
    moved_from: str | None = Field(description="The session's node before, when the job went elsewhere.")
    tried_nodes: tuple[str, ...]
    created_ms: Millis
    assigned_ms: Millis
    dispatched_ms: Millis
    accepted_ms: Millis
    started_ms: Millis
    ended_ms: Millis
    due_ms: Millis = Field(description="When something is due, while it has not ended.")
    error_code: str | None
    error_message: str | None


class JobDetail(JobView):
    """A job wholly."""

    request_id: str | None
    audio_format: str
    sample_rate: int
    expected_ms: int
    details: dict[str, Any]
    timings: dict[str, float] = Field(description="Milliseconds per stage, as the node reported them.")


class JobPage(Page):
    """Jobs, newest first."""

    jobs: list[JobView]


class JobCancelled(Answer):
    """What came of the wish to cancel a job."""

    job_id: str
    cancelled: bool = Field(description="False: it had ended before.")
    status: JobStatus
