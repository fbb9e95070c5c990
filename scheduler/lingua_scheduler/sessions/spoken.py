"""One utterance of a session, from its cut to its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from lingua_scheduler.sessions.handover import UnderWay

if TYPE_CHECKING:
    from lingua_scheduler.job import Job
    from lingua_scheduler.sessions.cuts import Finalized
    from lingua_scheduler.sessions.terms import Terms
    from lingua_wire.audio import AudioFormat


class Sound(NamedTuple):
    """What the audio of an utterance really is."""

    audio_format: AudioFormat
    sample_rate: int


class Pending(NamedTuple):
    """What a job is made of."""

    cut: Finalized
    sound: Sound


@dataclass(slots=True)
class Spoken:
    """An utterance that became a job. ``held_bytes``: its audio, until it may go. Times are of the local clock.

    ``pending``: what its job is made of, until its audio may go. ``held_by``: the instance that owns the job, where
    that is not this one; ``settled_at``: the node it was at there.
    """

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
    held_by: str = ""
    pending: Pending | None = field(default=None, repr=False)
    settled_at: str = ""

    @property
    def node_id(self) -> str:
        """Name the node it is at; empty while it waits."""
        return self.job.assigned.node_id if self.job and self.job.assigned else self.settled_at

    def under_way(self) -> UnderWay:
        """Tell another instance of it."""
        return UnderWay(
            self.index, self.job_id, self.turn_id, self.part_index, self.start_sample, self.end_sample, self.client_id
        )


def spoken_of(told: UnderWay, terms: Terms, held_by: str, now_ms: int) -> Spoken:
    """Make one that another instance told of."""
    return Spoken(
        index=told.index,
        terms=terms,
        job_id=told.job_id,
        turn_id=told.turn_id,
        part_index=told.part_index,
        start_sample=told.start_sample,
        end_sample=told.end_sample,
        held_bytes=0,
        cut_ms=now_ms,
        client_id=told.client_id,
        held_by=held_by,
    )
