"""The jobs this instance owns: from a finalized utterance to its one outcome, over as many attempts as it takes.

Only the owner decides about next attempts, and it decides here, in the event loop, step by step for each job. What the
store or a node says about an attempt that is not the current one changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from lingua_scheduler.background import Background
from lingua_scheduler.clock import now_ms
from lingua_scheduler.job import Job
from lingua_scheduler.owned import OwnedJobs, Paces
from lingua_scheduler.reports import Reports
from lingua_scheduler.verdicts import (
    assigned_again,
    ended_code,
    error_code,
    is_of_the_audio,
    is_unowned,
    kept_out_ms,
    model_pairs,
    stage_ms,
    status_of,
)
from lingua_scheduler.work import Done, Failed, Recall
from lingua_state import dispatch as state
from lingua_state import jobs, nodes
from lingua_state.errors import JobMissing, SessionReplaced, StateError
from lingua_state.models import TERMINAL, Assigned, EndedJob, JobRecord, JobStatus, Waiting
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.node_messages import JobAck, JobResult, JobStarted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine
    from typing import Any

    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.settings import SchedulerSettings
    from lingua_scheduler.work import Asker, Notice, Outcome, Refusal, Said, Work
    from lingua_state.client import Store
    from lingua_state.models import DispatchRequest

log = logging.getLogger(__name__)

#: How much later than the store's own deadline the owner asks what became of a job.
_BACKUP_MS: Final = 2_000
_CHECK_AGAIN_MS: Final = 5_000
_WATCH_S: Final = 1.0
_REFUSALS: Final = {"queue_full": ErrorCode.QUEUE_FULL, "no_available_node": ErrorCode.NO_AVAILABLE_NODE}


class Dispatcher:
    """Owner of this instance's jobs."""

    def __init__(self, store: Store, settings: SchedulerSettings, carrier: Carrier, metrics: Metrics) -> None:
        self._store = store
        self._settings = settings.job
        self._release_at_ack = settings.audio.release == "ack"
        self._carrier = carrier
        self._metrics = metrics
        self._reports = Reports(store, carrier)
        self._background = Background(metrics)
        self._jobs = OwnedJobs()
        self._paces = Paces()
        self.expected_ms = self._paces.expected_ms
        metrics.jobs_in_flight.set_function(lambda: len(self._jobs))

    def __len__(self) -> int:
        return len(self._jobs)

    def start(self, work: Work, asker: Asker) -> Job:
        """Find a node for ``work``; everything else is told to ``asker``.

        :raises WireError: QUEUE_FULL, this instance has too many unfinished jobs.
        """
        if len(self._jobs) >= self._settings.kept:
            raise WireError(ErrorCode.QUEUE_FULL, "this instance has too many unfinished jobs")
        job = Job(work, asker, now_ms() + self._settings.wait_ms + _BACKUP_MS)
        self._jobs.add(job)
        self._step(job, self._dispatch)
        return job

    def cancel(self, job: Job, reason: str = "cancelled") -> None:
        """End a job whose asker wants it no more; the asker hears nothing. Safe to repeat."""
        if not job.ended:
            self._forget(job)
            self._metrics.jobs.of(JobStatus.CANCELLED).inc()
            self._recall(job, reason)
            self._background.spawn(self._withdraw(job))

    async def cancel_by_id(self, job_id: str) -> bool:
        """End any instance's job; False: it had ended before, or never was."""
        return await self._end_by_id(job_id, JobStatus.CANCELLED, ErrorCode.JOB_CANCELLED)

    async def end_unowned(self, job_id: str) -> bool:
        """End the job of an instance that seems to be dead; one that only slept may begin it anew. False: as above."""
        return await self._end_by_id(job_id, JobStatus.FAILED, ErrorCode.WS_DISCONNECTED)

    def on_said(self, said: Said) -> None:
        """Take what a node said about its job."""
        job = self._jobs.find(said.job_id)
        if job is None or not job.is_at(said.attempt_id, said.node_id):
            if isinstance(said.word, JobResult):
                self._reject("late" if job is None else "stale_attempt", said)
            return
        self._hear(job, said)

    def on_refusal(self, refusal: Refusal) -> None:
        """Take back a delivery that failed: the next attempt begins at once."""
        job = self._jobs.find(refusal.job_id)
        if job is not None and job.attempt_id == refusal.attempt_id:
            self._lose(job, refusal.reason)

    def on_notice(self, notice: Notice) -> None:
        """Take what the store decided, in whichever instance."""
        job = self._jobs.find(notice.job_id)
        if job is None:
            self._background.spawn(self._disown(notice))
        elif isinstance(notice, Assigned):
            self._assign(job, notice)
        elif isinstance(notice, EndedJob):
            self._recall(job, notice.code)
            self._end(job, self._ended_by_the_store(job, notice.code, job.attempt_id))
        elif job.attempt_id == notice.attempt_id:
            self._lose(job, notice.reason)

    def tick(self) -> None:
        """Ask the store about jobs of which nothing was heard in time: a notice may have been lost."""
        now = now_ms()
        for job in [job for job in self._jobs.all() if job.check_ms <= now]:
            job.check_ms = now + _CHECK_AGAIN_MS
            self._step(job, self._check)
        for job in [job for job in self._jobs.all() if 0 < job.silent_ms <= now]:
            job.silent_ms = 0
            self._step(job, self._end_silent)
        avoided = set(self._carrier.avoided())
        for job in [job for job in self._jobs.all() if not avoided.issuperset(job.avoided)]:
            self._background.spawn(self._readmit(job, avoided))

    async def watch(self) -> None:
        """Look at the jobs about once a second, for ever."""
        while True:
            await asyncio.sleep(_WATCH_S)
            self.tick()

    def check_all(self) -> None:
        """Ask about every job: the store lost its past."""
        for job in self._jobs.all():
            job.check_ms = 0
        self.tick()

    async def close(self) -> None:
        """Stop every step that goes on."""
        await self._background.stop()

    # Steps of a job

    async def _dispatch(self, job: Job) -> None:
        began_s = time.perf_counter()
        try:
            answer = await state.dispatch(self._store, self._request(job))
        except SessionReplaced:
            self._metrics.dispatch_seconds.of("replaced").observe(time.perf_counter() - began_s)
            self._metrics.sessions_fenced.of("dispatch").inc()
            self._metrics.audio_released.of("dropped").inc()
            self._forget(job)
            message = "its session went on elsewhere before it had a job"
            job.asker.job_ended(job, Failed(ErrorCode.SESSION_REPLACED, message, audio_lost=True))
            return
        except StateError as error:
            self._metrics.dispatch_seconds.of("store_error").observe(time.perf_counter() - began_s)
            raise error from None
        outcome = (
            "assigned" if isinstance(answer, Assigned) else "waiting" if isinstance(answer, Waiting) else "repeated"
        )
        self._metrics.dispatch_seconds.of(outcome).observe(time.perf_counter() - began_s)
        await self._follow(job, answer)

    def _request(self, job: Job) -> DispatchRequest:
        job.avoided, request, generation = self._carrier.avoided(), job.work.request, job.asker.generation
        if job.avoided or generation != request.generation:
            return replace(request, exclude=(*request.exclude, *job.avoided), generation=generation)
        return request

    async def _readmit(self, job: Job, avoided: Collection[str]) -> None:
        """Let a job that waits have the nodes of instances that can be reached again."""
        back = [name for name in job.avoided if name not in avoided]
        try:
            assigned = await jobs.readmit(self._store, job.job_id, back)
        except StateError:
            return  # asked for again, as where the store does not have the job yet
        if assigned is not None:
            job.avoided = tuple(name for name in job.avoided if name not in back)
            self._carrier.tell(assigned)

    async def _follow(self, job: Job, answer: Assigned | Waiting | EndedJob | JobRecord) -> None:
        """Act on the store's answer to a dispatch or a failover."""
        if not isinstance(answer, JobRecord):
            self._carrier.tell(answer.also)
        if job.ended:
            await self._withdraw(job)
        elif isinstance(answer, Assigned):
            self._assign(job, answer)
        elif isinstance(answer, Waiting):
            job.check_ms = now_ms() + self._settings.wait_ms + _BACKUP_MS
            job.asker.job_waiting(job)
        elif isinstance(answer, EndedJob):
            self._end(job, Failed(ended_code(job.last_code, answer.code), "every attempt failed"))
        else:
            await self._adopt(job, answer)

    def _assign(self, job: Job, assigned: Assigned) -> None:
        if assigned.attempt_id <= job.attempt_id:
            return
        job.assigned = assigned
        job.avoided = ()
        job.accepted = False
        job.settling = job.silent_ms = 0
        if job.audio is None:
            self._step(job, self._give_up, ErrorCode.NODE_UNAVAILABLE, audio_lost=True)
            return
        offer_ms = self._settings.offer_ms if assigned.acks else None
        patience_ms = self._settings.handover_ms + offer_ms if offer_ms else self._run_ms(job)
        job.check_ms = now_ms() + patience_ms + _BACKUP_MS
        self._metrics.assigned.of(assigned.affinity).inc()
        job.asker.job_assigned(job)
        self._carrier.deliver(assigned.node_instance, job.delivery(assigned, offer_ms, job.audio))

    def _hear(self, job: Job, said: Said) -> None:
        word = said.word
        if isinstance(word, JobResult):
            self._settle_once(job, said, word)
            return
        if not job.accepted:
            self._accept(job, said)
        if isinstance(word, JobStarted):
            self._background.spawn(self._reports.started(said))
        elif not isinstance(word, JobAck):
            job.asker.job_partial(job, word)

    def _accept(self, job: Job, said: Said) -> None:
        """Take the first word of an attempt: the node has the audio, so ours may go."""
        job.accepted = True
        job.check_ms = now_ms() + self._run_ms(job) + _BACKUP_MS
        self._background.spawn(self._reports.accepted(said))
        if self._release_at_ack:
            job.audio = None
            self._metrics.audio_released.of("ack").inc()
        job.asker.job_accepted(job, released=self._release_at_ack)

    def _settle_once(self, job: Job, said: Said, result: JobResult) -> None:
        if job.settling == said.attempt_id:
            self._reject("duplicate", said)
            return
        job.settling = said.attempt_id
        self._step(job, self._complete if result.success else self._fail_attempt, said, result)

    async def _complete(self, job: Job, said: Said, result: JobResult) -> None:
        status, took_ms = status_of(result), stage_ms(result)
        try:
            transition = await self._reports.done(said, status, took_ms)
        except StateError:
            # The store is away. Nobody but us could have moved the job, so the client gets what is there.
            self._background.spawn(self._reports.done_later(said, status, took_ms))
        else:
            if transition.outcome not in ("ok", "repeated", "missing"):
                self._reject(transition.outcome, said)
                job.settling = 0
                job.check_ms = 0
                return
        self._paces.learn(job.work.request, job.age_ms())
        self._metrics.jobs.of(status).inc()
        for stage, stage_took_ms in took_ms.items():
            self._metrics.stage_seconds.of(stage.removesuffix("_ms")).observe(stage_took_ms / 1000)
        self._end(job, Done(result, said.speech, said.node_id))
        for other in self._jobs.silent_before(job):
            self._pass_over(other, job)

    async def _fail_attempt(self, job: Job, said: Said, result: JobResult) -> None:
        """Let another node try, or give up when the audio is gone."""
        code = error_code(result)
        self._metrics.attempts_lost.of(code).inc()
        if kept_out := kept_out_ms(code, self._settings.exclude_pair_ms):
            for pair in model_pairs(job.work.request):
                await nodes.exclude_from_pair(self._store, said.node_id, pair, kept_out)
        if job.audio is None:
            await self._try_to_tell(self._reports.failed(said, code))
            await self._give_up(job, code, audio_lost=not is_of_the_audio(code))
            return
        job.last_code = code
        job.asker.job_lost(job)
        await self._fail_over(job, code)

    def _lose(self, job: Job, reason: str) -> None:
        """Begin the next attempt of a job whose node gave no answer; once for each attempt.

        A result that is just being counted goes first: if the store refuses it, this is called again.
        """
        if job.attempt_id in (job.lost_attempt, job.settling):
            return
        job.lost_attempt = job.attempt_id
        self._metrics.attempts_lost.of(reason).inc()
        code = ErrorCode.JOB_TIMEOUT if "timeout" in reason else ErrorCode.NODE_UNAVAILABLE
        self._recall(job, reason)
        if job.audio is None:
            self._step(job, self._give_up, code, audio_lost=True)
            return
        job.last_code = code
        job.asker.job_lost(job)
        self._step(job, self._fail_over, reason)

    async def _fail_over(self, job: Job, reason: str, after_attempt: int | None = None) -> None:
        """Ask for the next attempt; ``after_attempt``: after which one, where that is not the one known here."""
        job.avoided = self._carrier.avoided()
        try:
            answer = await jobs.failover(
                self._store,
                job.job_id,
                after_attempt or job.attempt_id,
                reason=reason.lower(),
                exclude=job.avoided,
                wait_ms=self._settings.wait_ms,
            )
        except JobMissing:
            await self._begin_again(job)
            return
        await self._follow(job, answer)

    async def _give_up(self, job: Job, code: ErrorCode, *, audio_lost: bool = False) -> None:
        await self._try_to_tell(self._reports.ended(job.job_id, JobStatus.FAILED, code))
        message = "its audio is not held here any more" if audio_lost else "every attempt failed"
        self._end(job, Failed(code, message, audio_lost=audio_lost))

    async def _try_to_tell(self, telling: Awaitable[object]) -> None:
        """Tell the store what is decided here anyway; while it is away it finds out by the job's deadline."""
        try:
            await telling
        except StateError as error:
            self._metrics.store_errors.of(error.code).inc()

    async def _withdraw(self, job: Job) -> None:
        await self._reports.ended(job.job_id, JobStatus.CANCELLED, ErrorCode.JOB_CANCELLED)

    def _pass_over(self, job: Job, later: Job) -> None:
        """Note that a base node went on to a later job: one of the same turn holds this one's speech, so it ends."""
        if job.work.request.turn_id == later.work.request.turn_id:
            self._step(job, self._end_silent)
        elif not job.silent_ms:
            job.silent_ms = now_ms() + self._settings.silent_ms

    async def _end_silent(self, job: Job) -> None:
        """End a job of which a base node says nothing: it joined it to a later one, or had nothing to say."""
        at = job.assigned
        if job.ended or at is None:
            return
        job.settling = at.attempt_id
        await self._reports.silent(job.job_id, at)
        self._metrics.jobs.of(JobStatus.COMPLETED_NO_TEXT).inc()
        self._end(job, Done(None, None, at.node_id))

    async def _check(self, job: Job) -> None:
        try:
            record = await jobs.get(self._store, job.job_id)
        except StateError:
            return  # asked again later; its node may answer meanwhile
        if job.ended or job.settling == job.attempt_id != 0:
            return  # what the store has may be our own result, of which we only await that replicas have it
        if record is None:
            await self._begin_again(job)
        else:
            await self._adopt(job, record)

    async def _begin_again(self, job: Job) -> None:
        """Dispatch under the same id: the store lost the job. Without the audio, its node may still answer."""
        if job.audio is not None:
            self._recall(job, "store_lost")
            job.forget_attempts()
            await self._dispatch(job)
        elif job.age_ms() > self._settings.wait_ms + 2 * self._run_ms(job):
            self._end(job, Failed(ErrorCode.JOB_TIMEOUT, "nothing was heard of the job", audio_lost=True))

    async def _adopt(self, job: Job, record: JobRecord) -> None:
        """Follow the store's record, which went on without us."""
        if record.job_id != job.job_id:
            message = "a job with this request id was made before"
            self._end(job, Failed(ErrorCode.CONFLICT, message, made_before=record.job_id))
        elif record.status in TERMINAL:
            word = record.error_code or ErrorCode.JOB_TIMEOUT
            self._recall(job, word)
            message = record.error_message or "the job was ended"
            self._end(job, self._ended_by_the_store(job, word, record.attempt_id, message))
        elif record.node_id and record.attempt_id > job.attempt_id:
            await self._adopt_attempt(job, record)
        elif record.status is JobStatus.PENDING and record.attempt_id == job.attempt_id != 0:
            self._lose(job, "node_lost")
        elif record.status is JobStatus.PENDING and record.attempt_id > max(job.attempt_id, job.lost_attempt):
            # It was begun, and lost, while nobody could tell us: only its owner can give it the next attempt.
            job.lost_attempt = record.attempt_id
            await self._fail_over(job, "handover_timeout", record.attempt_id)

    async def _adopt_attempt(self, job: Job, record: JobRecord) -> None:
        node = await nodes.get(self._store, record.node_id)
        if node is None:
            return
        self._assign(job, assigned_again(record, node))

    def _ended_by_the_store(self, job: Job, word: str, attempt_id: int, message: str = "the job was ended") -> Failed:
        unowned = is_unowned(word, job.work.request.max_attempts - attempt_id)
        return Failed(ended_code(job.last_code, word), message, unowned=unowned)

    async def _disown(self, notice: Notice) -> None:
        """End a job that the store still thinks ours: nobody waits for it."""
        if isinstance(notice, EndedJob):
            return
        code, message = ErrorCode.WS_DISCONNECTED, "nobody waits for it"
        await self._reports.ended(notice.job_id, JobStatus.FAILED, code, message)

    # Ends

    async def _end_by_id(self, job_id: str, status: JobStatus, code: ErrorCode) -> bool:
        transition = await self._reports.ended(job_id, status, code)
        record = transition.record
        if transition.outcome != "ok" or record is None:
            return False
        self._carrier.tell([EndedJob(job_id, record.session_id, record.owner, code)])
        return True

    def _end(self, job: Job, outcome: Outcome) -> None:
        if job.ended:
            return
        if job.audio is not None:
            self._metrics.audio_released.of("result" if isinstance(outcome, Done) else "dropped").inc()
        self._forget(job)
        if isinstance(outcome, Failed):
            self._metrics.jobs.of(JobStatus.FAILED).inc()
            self._metrics.jobs_failed.of(outcome.code).inc()
        job.asker.job_ended(job, outcome)

    def _forget(self, job: Job) -> None:
        job.ended = True
        job.audio = None
        self._jobs.remove(job)

    def _recall(self, job: Job, reason: str) -> None:
        if job.assigned is not None:
            at = job.assigned
            self._carrier.recall(at.node_instance, Recall(job.job_id, at.attempt_id, at.node_id, reason))

    def _reject(self, reason: str, said: Said) -> None:
        self._metrics.results_rejected.of(reason).inc()
        log.info("result rejected", extra={"job_id": said.job_id, "node_id": said.node_id, "reason": reason})

    def _run_ms(self, job: Job) -> int:
        return max(self._settings.timeout_ms, job.work.request.timeout_ms)

    # Guarding

    def _step(self, job: Job, act: Callable[..., Coroutine[Any, Any, None]], *args: Any, **more: Any) -> None:  # noqa: ANN401 - what `act` takes
        self._background.spawn(self._guard(job, partial(act, job, *args, **more)))

    async def _guard(self, job: Job, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Take a step; whatever goes wrong in it, the job has an outcome."""
        try:
            await act()
        except StateError as error:
            self._metrics.store_errors.of(error.code).inc()
            code = _REFUSALS.get(error.code, ErrorCode.STORE_UNAVAILABLE)
            self._recall(job, code)
            self._end(job, Failed(code, error.message))
        except Exception:
            log.exception("a step of a job failed", extra={"job_id": job.job_id})
            self._recall(job, "internal_error")
            self._end(job, Failed(ErrorCode.INTERNAL_ERROR, "something went wrong here"))
