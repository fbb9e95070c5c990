"""One job as its owner holds it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from lingua_scheduler.work import Delivery

if TYPE_CHECKING:
    from lingua_scheduler.work import Asker, Work
    from lingua_state.models import Assigned
    from lingua_wire.codes import ErrorCode


class Job:
    """A job that has not ended, and where it is.

    ``audio`` is all that is held of it here: ``work`` has none, so that it is gone when this is None.
    ``accepted``: the current node has said a word about it. ``settling``: the attempt whose result is being counted.
    ``lost_attempt``: the attempt after which another one is asked for, so that a second notice changes nothing.
    ``last_code``: why the last attempt failed.
    ``avoided``: the instances, as ``@id``, whose nodes the store was told to leave out while the job waits.
    ``silent_ms``: when a node that went on to later jobs is taken to have nothing to say about it; 0: it did not.
    ``check_ms``: when to ask the store what became of it, if nothing is heard before.
    """

    __slots__ = (
        "accepted",
        "asker",
        "assigned",
        "audio",
        "avoided",
        "began_s",
        "check_ms",
        "ended",
        "last_code",
        "lost_attempt",
        "settling",
        "silent_ms",
        "work",
    )

    def __init__(self, work: Work, asker: Asker, check_ms: int) -> None:
        self.work = replace(work, audio=b"")
        self.asker = asker
        self.audio: bytes | None = work.audio
        self.assigned: Assigned | None = None
        self.accepted = False
        self.settling = 0
        self.lost_attempt = 0
        self.last_code: ErrorCode | None = None
        self.avoided: tuple[str, ...] = ()
        self.ended = False
        self.check_ms = check_ms
        self.silent_ms = 0
        self.began_s = time.perf_counter()

    def forget_attempts(self) -> None:
        """Begin with the first attempt again: the store lost the job."""
        self.assigned = None
        self.accepted = False
        self.settling = self.lost_attempt = self.silent_ms = 0

    @property
    def job_id(self) -> str:
        """Name the job."""
        return self.work.request.job_id

    @property
    def attempt_id(self) -> int:
        """Give the current attempt; 0 before the first."""
        return self.assigned.attempt_id if self.assigned else 0

    def is_at(self, attempt_id: int, node_id: str) -> bool:
        """Tell whether this attempt on this node is the current one."""
        return self.assigned is not None and attempt_id == self.assigned.attempt_id and node_id == self.assigned.node_id

    def delivery(self, assigned: Assigned, offer_ms: int | None, audio: bytes) -> Delivery:
        """Write what goes to the node's instance."""
        return Delivery(
            job_id=self.job_id,
            owner=assigned.owner,
            attempt_id=assigned.attempt_id,
            node_id=assigned.node_id,
            incarnation=assigned.incarnation,
            head=self.work.head,
            audio=audio,
            offer_ms=offer_ms,
        )

    def age_ms(self) -> int:
        """Tell how long ago the job began."""
        return int((time.perf_counter() - self.began_s) * 1000)
