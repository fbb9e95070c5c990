"""The unfinished jobs of this instance, by id and by session, and how long such jobs take. Pure but for its clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lingua_scheduler.job import Job
    from lingua_state.models import DispatchRequest

#: Pairs whose pace is remembered.
_PAIRS: Final = 10_000
#: How much the newest job counts for the pace of its pair.
_NEWEST: Final = 0.2


class OwnedJobs:
    """Finds jobs."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._sessions: dict[str, list[Job]] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Take in a job that begins."""
        self._jobs[job.job_id] = job
        self._sessions.setdefault(job.work.request.session_id, []).append(job)

    def remove(self, job: Job) -> None:
        """Forget a job that ended."""
        self._jobs.pop(job.job_id, None)
        session_id = job.work.request.session_id
        left = [other for other in self._sessions.pop(session_id, ()) if other is not job]
        if left:
            self._sessions[session_id] = left

    def find(self, job_id: str) -> Job | None:
        """Find a job that has not ended."""
        return self._jobs.get(job_id)

    def all(self) -> list[Job]:
        """List them."""
        return list(self._jobs.values())

    def silent_before(self, job: Job) -> list[Job]:
        """List earlier jobs of the session of which their node, a base one that just answered ``job``, said nothing."""
        return [other for other in self._sessions.get(job.work.request.session_id, ()) if _is_silent_before(other, job)]


class Paces:
    """Remembers how long a job takes per audio time, for each pair."""

    def __init__(self) -> None:
        self._pace: dict[str, float] = {}

    def expected_ms(self, pair: str, audio_ms: int) -> int:
        """Expect how long a job of so much audio takes; 0: not known."""
        return int(self._pace.get(pair, 0.0) * audio_ms)

    def learn(self, request: DispatchRequest, took_ms: int) -> None:
        """Take in a job that was done."""
        if request.audio_ms <= 0:
            return
        pair, pace = str(request.pair), took_ms / request.audio_ms
        if pair in self._pace or len(self._pace) < _PAIRS:
            before = self._pace.get(pair, pace)
            self._pace[pair] = before + (pace - before) * _NEWEST


def _is_silent_before(other: Job, job: Job) -> bool:
    mine, its = job.work.request, other.work.request
    return (
        its.utterance_index < mine.utterance_index
        and other.assigned is not None
        and job.assigned is not None
        and other.assigned.node_id == job.assigned.node_id
        and not other.assigned.acks
        and not other.settling
    )
