"""One utterance of a session, from its cut to its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lingua_scheduler.job import Job
    from lingua_scheduler.sessions.terms import Terms


@dataclass(slots=True)
class Spoken:
    """An utterance that became a job. ``held_bytes``: its audio, until it may go. Times are of the local clock."""

    index: int
    terms: Terms
    job_id: str
    turn_id: str
    part_index: int
    start_sample: int
    end_sample: int
    held_bytes: int
    cut_ms: int
    client_id: str | None = None
    job: Job | None = None
    partial_sent: bool = False

    @property
    def node_id(self) -> str:
        """Name the node it is at; empty while it waits."""
        return self.job.assigned.node_id if self.job and self.job.assigned else ""
