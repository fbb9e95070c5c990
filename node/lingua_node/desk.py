"""The jobs a node works on: which it takes, which it gives up, and which results it still owes.

A job that is assigned twice is done once; results are kept a while and said again after a lost connection, since nobody
knows what a socket still delivered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingua_node import results
from lingua_node.engines.base import EngineError
from lingua_node.results import Desk, Parcel
from lingua_node.stable import StableText
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingua_node.link import Link
    from lingua_node.pipeline import JobPipeline
    from lingua_wire.node_messages import JobAssign, JobCancel

log = logging.getLogger(__name__)

KEEP_RESULT_S = 30.0
MAX_KEPT = 64


@dataclass(frozen=True, slots=True)
class _Running:
    attempt_id: int
    task: asyncio.Task[None]
    link: Link | None
    """On which it was assigned."""


@dataclass(frozen=True, slots=True)
class _Finished:
    attempt_id: int
    parcel: Parcel
    at_s: float


class JobDesk:
    """Work on at most ``max_jobs`` jobs at once and answer on whatever link is open."""

    def __init__(self, pipeline: JobPipeline, max_jobs: int) -> None:
        self.pipeline = pipeline
        self.draining = False
        self._max_jobs = max_jobs
        self._running: dict[str, _Running] = {}
        self._finished: OrderedDict[str, _Finished] = OrderedDict()
        self._idle = asyncio.Event()
        self._idle.set()
        self._link: Link | None = None
        self._desk = Desk("", frozenset())

    @property
    def running(self) -> tuple[str, ...]:
        """Name the jobs at work."""
        return tuple(self._running)

    async def attach(self, link: Link, desk: Desk) -> None:
        """Answer on this link from now on, and say again the results of the last while."""
        self._link, self._desk = link, desk
        self._forget_old()
        for finished in list(self._finished.values()):
            await self._say(finished.parcel)

    def detach(self) -> None:
        """Keep results until there is a link again."""
        self._link = None

    async def take(self, job: JobAssign, audio: bytes) -> None:
        """Begin a job, or refuse it with its reason. The same attempt again changes nothing."""
        running = self._running.get(job.job_id)
        if running is not None and running.attempt_id >= job.attempt_id:
            await self._say(results.ack(job, self._desk, results.digest_of(audio, self._desk)))
            return
        finished = self._finished.get(job.job_id)
        if finished is not None and finished.attempt_id == job.attempt_id:
            await self._say(finished.parcel)
            return
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])
        await self._make_room()
        refusal = self._refusal(job, audio)
        if refusal is not None:
            await self.refuse(job, refusal)
            return
        self._begin(job, audio)

    async def refuse(self, job: JobAssign, error: EngineError) -> None:
        """Answer a job that is not begun."""
        await self._say(results.failure(job, self._desk, error))

    def cancel(self, order: JobCancel) -> None:
        """Stop a job at once; nothing more is said about it, not even a result that is already there."""
        running, finished = self._running.get(order.job_id), self._finished.get(order.job_id)
        if running is not None and order.attempt_id in (None, running.attempt_id):
            running.task.cancel()
        if finished is not None and order.attempt_id in (None, finished.attempt_id):
            del self._finished[order.job_id]

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no job is at work; False when that takes too long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Give up every job that is still at work."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def tasks(self) -> Iterable[asyncio.Task[None]]:
        """Give the tasks at work."""
        return [running.task for running in self._running.values()]

    async def _make_room(self) -> None:
        """Give up the oldest job of a connection that is gone, where a new one finds no place.

        The schedulers gave that attempt to another node when the connection went, and count the place as free.
        """
        orphans = [running for running in self._running.values() if running.link is not self._link]
        if orphans and len(self._running) >= self._max_jobs:
            orphans[0].task.cancel()
            await asyncio.wait([orphans[0].task])

    def _refusal(self, job: JobAssign, audio: bytes) -> EngineError | None:
        if self.draining:
            return EngineError(ErrorCode.DRAINING, "the node is draining")
        if len(self._running) >= self._max_jobs:
            return EngineError(ErrorCode.NODE_OVERLOADED, f"the node works on {self._max_jobs} jobs already")
        digest = results.digest_of(audio, self._desk)
        if job.audio_sha256 is not None and digest is not None and job.audio_sha256 != digest:
            return EngineError(ErrorCode.PROCESSING_ERROR, "the audio is not the one the job names")
        return None

    def _begin(self, job: JobAssign, audio: bytes) -> None:
        task = asyncio.create_task(self._work(job, audio), name=f"job {job.job_id}")
        self._running[job.job_id] = _Running(job.attempt_id, task, self._link)
        self._idle.clear()
        task.add_done_callback(lambda done: self._ended(job, done))

    def _ended(self, job: JobAssign, task: asyncio.Task[None]) -> None:
        running = self._running.get(job.job_id)
        if running is not None and running.task is task:
            del self._running[job.job_id]
        if not self._running:
            self._idle.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("a job ended in an unexpected way", extra=_ids(job), exc_info=task.exception())

    async def _work(self, job: JobAssign, audio: bytes) -> None:
        digest = results.digest_of(audio, self._desk)
        await self._say(results.ack(job, self._desk, digest))
        await self._say(results.started(job, self._desk))
        parcel = await self._result(job, audio, digest)
        self._finished[job.job_id] = _Finished(job.attempt_id, parcel, time.monotonic())
        self._finished.move_to_end(job.job_id)
        self._forget_old()
        await self._say(parcel)

    async def _result(self, job: JobAssign, audio: bytes, digest: str | None) -> Parcel:
        stable = StableText()

        async def tell(text: str, final: bool) -> None:
            await self._say(results.partial(job, self._desk, text, None if final else stable.add(text)))

        try:
            outcome = await self.pipeline.run(job, audio, tell)
        except EngineError as error:
            log.warning("a job failed", extra={**_ids(job), "code": error.code})
            return results.failure(job, self._desk, error)
        except Exception:
            log.exception("a job failed in an unexpected way", extra=_ids(job))
            return results.failure(job, self._desk, EngineError(ErrorCode.INTERNAL_ERROR, "the node failed"))
        log.info("a job is done", extra={**_ids(job), "total_ms": outcome.timings_ms["total_ms"]})
        return results.success(job, self._desk, outcome, digest, time.time_ns() // 1_000_000)

    async def _say(self, parcel: Parcel) -> None:
        """Send on the open link; what can't be sent is dropped here, results are kept by the caller."""
        link = self._link
        if link is None:
            return
        try:
            await link.send(parcel)
        except (OSError, TimeoutError):
            if self._link is link:
                self._link = None
            await link.close()

    def _forget_old(self) -> None:
        limit = time.monotonic() - KEEP_RESULT_S
        while self._finished and (len(self._finished) > MAX_KEPT or next(iter(self._finished.values())).at_s < limit):
            self._finished.popitem(last=False)


def _ids(job: JobAssign) -> dict[str, object]:
    return {
        "job_id": job.job_id,
        "attempt_id": job.attempt_id,
        "session_id": job.session_id,
        "trace_id": job.trace_id,
    }
