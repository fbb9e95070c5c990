"""One utterance of an HTTP call as a job: a session that lives as long as the call."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from lingua_scheduler.http.port import Dispatched, TranslateResult
from lingua_scheduler.nodes.capability import pairing_digest
from lingua_scheduler.sessions.cuts import CutRules, Finalized, Reason
from lingua_scheduler.sessions.ear import unpack_whole
from lingua_scheduler.sessions.plan import Place, plan
from lingua_scheduler.sessions.profile import client_profile
from lingua_scheduler.sessions.speech import speech_of
from lingua_scheduler.sessions.terms import Languages, Terms
from lingua_scheduler.verdicts import stage_ms
from lingua_scheduler.work import Failed
from lingua_state import dispatch, jobs, sessions
from lingua_state.ids import new_job_id, new_session_id
from lingua_state.models import Pair
from lingua_wire.audio import AudioFormat
from lingua_wire.codes import CODES, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.fields import Mode
from lingua_wire.session_messages import Pipeline

if TYPE_CHECKING:
    from lingua_scheduler.audio_bound import AudioBound
    from lingua_scheduler.http.port import TranslateOnce
    from lingua_scheduler.job import Job
    from lingua_scheduler.scheduler import Scheduler
    from lingua_scheduler.work import Done, JobView, Outcome, Work
    from lingua_wire.node_messages import NodeAsrPartial


class OneCall:
    """Asks for one job, and waits for what its caller wants to know. Its audio counts as held here until
    :meth:`let_go`.

    :raises WireError: BUFFER_FULL, there is no room for it.
    """

    def __init__(self, bound: AudioBound, work: Work) -> None:
        if not bound.fits(len(work.audio)):
            raise WireError(ErrorCode.BUFFER_FULL, "this instance holds as much audio as it may")
        loop = asyncio.get_running_loop()
        self._bound = bound
        self._held_bytes = len(work.audio)
        bound.add(self._held_bytes)
        self.placed: asyncio.Future[JobView] = loop.create_future()
        self.outcome: asyncio.Future[Outcome] = loop.create_future()
        self.generation = 0

    def job_waiting(self, job: JobView) -> None:
        """Note that the job waits for a node."""
        self._place(job)

    def job_assigned(self, job: JobView) -> None:
        """Note that the job has a node."""
        self._place(job)

    def job_accepted(self, job: JobView, *, released: bool) -> None:
        """Let the audio go, if the node has it."""
        if released:
            self.let_go()

    def let_go(self) -> None:
        """Count the audio no more. Safe to repeat."""
        self._bound.add(-self._held_bytes)
        self._held_bytes = 0

    def job_partial(self, job: JobView, partial: NodeAsrPartial) -> None:
        """Take no notice: the caller wants the end."""

    def job_lost(self, job: JobView) -> None:
        """Take no notice: another attempt begins."""

    def job_ended(self, job: JobView, outcome: Outcome) -> None:
        """Take the outcome."""
        self.let_go()
        if not self.outcome.done():
            self.outcome.set_result(outcome)
        self._place(job)

    def _place(self, job: JobView) -> None:
        if not self.placed.done():
            self.placed.set_result(job)


async def translate_once(scheduler: Scheduler, request: TranslateOnce) -> TranslateResult:
    """Translate one utterance; the job is cancelled with the caller.

    :raises WireError: it failed, with the code of its failure.
    """
    work = once_work(scheduler, request)
    call = OneCall(scheduler.audio, work)
    job = _start(scheduler, work, call)
    try:
        outcome = await call.outcome
    finally:
        scheduler.dispatcher.cancel(job, "caller_gone")
        call.let_go()
    if isinstance(outcome, Failed):
        raise WireError(outcome.code, CODES[outcome.code].title)
    return _result(work, outcome)


async def dispatch_once(scheduler: Scheduler, request: TranslateOnce) -> Dispatched:
    """Start a job that goes on by itself; answer when it has a node or waits for one.

    The same request id again gets the job it had.

    :raises WireError: it was refused, or the session is another tenant's.
    """
    await _refuse_foreign(scheduler, request)
    work = once_work(scheduler, request)
    call = OneCall(scheduler.audio, work)
    _start(scheduler, work, call)
    job = await call.placed
    if call.outcome.done() and isinstance(outcome := call.outcome.result(), Failed) and job.assigned is None:
        if known := await jobs.get(scheduler.store, outcome.made_before) if outcome.made_before else None:
            return Dispatched(known.job_id, known.session_id, known.node_id, known.attempt_id, known.status)
        raise WireError(outcome.code, outcome.message)
    at = job.assigned
    return Dispatched(
        job_id=work.job_id,
        session_id=work.request.session_id,
        node_id=at.node_id if at else "",
        attempt_id=at.attempt_id if at else 0,
        status="assigned" if at else "pending",
    )


def _start(scheduler: Scheduler, work: Work, call: OneCall) -> Job:
    try:
        return scheduler.dispatcher.start(work, call)
    except WireError:
        call.let_go()
        raise


async def _refuse_foreign(scheduler: Scheduler, request: TranslateOnce) -> None:
    """Keep a caller from the turns and the node of a session of another tenant."""
    session = await sessions.get(scheduler.store, request.session_id) if request.session_id else None
    if session is not None and session.tenant != request.tenant:
        raise WireError(ErrorCode.INVALID_SESSION, "session_id: there is no such session of this tenant")


def once_work(scheduler: Scheduler, request: TranslateOnce) -> Work:
    """Make the job of a call.

    :raises WireError: the audio is not what was said.
    """
    audio_format = AudioFormat(request.audio_format)
    whole = unpack_whole(request.audio, audio_format, request.sample_rate)
    terms = _terms(scheduler, request)
    place = Place(
        job_id=new_job_id(scheduler.store.cell),
        session_id=request.session_id or new_session_id(scheduler.store.cell),
        owner=scheduler.instance_id,
        index=0,
        audio_format=whole.audio_format,
        sample_rate=whole.sample_rate,
        request_id=request.request_id,
    )
    utterance = Finalized(
        audio=whole.audio,
        reason=Reason.IS_FINAL,
        turn_id=secrets.token_hex(16),
        start_sample=0,
        end_sample=whole.samples,
        speech_ms=0,
        padding_ms=0,
        manual=True,
        sample_rate=whole.sample_rate,
    )
    made = plan(utterance, terms, place, scheduler.settings.job)
    wait_ms = min(made.request.wait_ms, request.timeout_ms)
    checked = replace(made.request, wait_ms=wait_ms, timeout_ms=min(made.request.timeout_ms, request.timeout_ms))
    dispatch.check(checked)
    return replace(made, request=checked)


def _terms(scheduler: Scheduler, request: TranslateOnce) -> Terms:
    first, second = (*request.languages, None, None)[:2]
    both = request.both_ways and first is not None and second is not None
    return Terms(
        profile=client_profile((), scheduler.settings.flow),
        languages=Languages(
            pair=Pair(request.source, request.target),
            mode=Mode.TWO_WAY_AUTO if both else Mode.ONE_WAY,
            lang_a=first if both else None,
            lang_b=second if both else None,
            candidates=tuple(code for code in request.languages if both or code != request.target),
        ),
        rules=CutRules(),
        trace_id=request.trace_id or secrets.token_hex(16),
        platform="http",
        tenant=request.tenant,
        pairing=pairing_digest(request.pairing_code) if request.pairing_code else None,
        dialect=request.dialect,
        pipeline=Pipeline(use_tts=request.use_tts),
        partial_ms=0,
    )


def _result(work: Work, done: Done) -> TranslateResult:
    result = done.result
    assert result is not None, "only jobs of a turn end in silence"  # noqa: S101
    speech = speech_of(result, done.speech, bare=False, as_bytes=True)
    detected = (result.extra or {}).get("detected_language")
    return TranslateResult(
        session_id=work.request.session_id,
        job_id=work.job_id,
        node_id=done.node_id,
        source=detected if isinstance(detected, str) else work.request.pair.source,
        target=work.request.pair.target,
        text=result.text_asr or "",
        translation=result.text_translated or "",
        speech=b"" if speech.empty else speech.as_bytes(),
        speech_format=speech.audio_format,
        speech_rate=speech.sample_rate,
        trace_id=work.request.trace_id,
        timings_ms=stage_ms(result),
    )
