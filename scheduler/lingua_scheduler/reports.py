"""What the store is told of jobs. Each end frees a slot: whoever got it is told in the same breath."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from lingua_state import jobs
from lingua_state.errors import StateError
from lingua_state.models import JobStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.work import Said
    from lingua_state.client import Store
    from lingua_state.models import Assigned, Transition
    from lingua_wire.codes import ErrorCode

#: How long the end of a job is told again to a store that is away.
_TRIES: Final = 30
_PAUSE_S: Final = 2.0


class Reports:
    """Tells the store about jobs of this instance."""

    def __init__(self, store: Store, carrier: Carrier) -> None:
        self._store = store
        self._carrier = carrier

    async def accepted(self, said: Said) -> None:
        """The node has the job."""
        self._told(await jobs.accept(self._store, said.job_id, said.attempt_id, said.node_id, said.incarnation))

    async def started(self, said: Said) -> None:
        """The node works on the job."""
        self._told(await jobs.start(self._store, said.job_id, said.attempt_id, said.node_id, said.incarnation))

    async def done(self, said: Said, status: JobStatus, timings: Mapping[str, float]) -> Transition:
        """The node gave a result."""
        return self._told(
            await jobs.complete(
                self._store,
                said.job_id,
                said.attempt_id,
                said.node_id,
                said.incarnation,
                status=status,
                timings=timings,
            )
        )

    async def done_later(self, said: Said, status: JobStatus, timings: Mapping[str, float]) -> None:
        """Say it again and again to a store that is away."""
        for _ in range(_TRIES):
            await asyncio.sleep(_PAUSE_S)
            try:
                await self.done(said, status, timings)
            except StateError:
                continue
            return

    async def failed(self, said: Said, code: ErrorCode) -> None:
        """The node failed, and nobody else can try: what is the node's own fault counts against it."""
        blamed = code.lower() not in jobs.BLAMELESS
        self._told(
            await jobs.complete(
                self._store,
                said.job_id,
                said.attempt_id,
                said.node_id,
                said.incarnation,
                status=JobStatus.FAILED,
                error_code=code,
                counts_against_node=blamed,
            )
        )

    async def silent(self, job_id: str, at: Assigned) -> None:
        """A base node joined the job to a later one without a word."""
        status = JobStatus.COMPLETED_NO_TEXT
        self._told(await jobs.complete(self._store, job_id, at.attempt_id, at.node_id, at.incarnation, status=status))

    async def ended(self, job_id: str, status: JobStatus, code: ErrorCode, message: str = "") -> Transition:
        """The owner ends the job, wherever it is."""
        return self._told(await jobs.end(self._store, job_id, status=status, error_code=code, error_message=message))

    def _told(self, transition: Transition) -> Transition:
        self._carrier.tell(transition.assigned)
        return transition
