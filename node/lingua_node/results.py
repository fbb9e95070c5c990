"""Write what a job came to in the words of the protocol. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lingua_wire import frames
from lingua_wire.audio import encode_base64
from lingua_wire.fields import Extension
from lingua_wire.frames import Kind
from lingua_wire.node_messages import JobAck, JobError, JobResult, JobStarted, NodeAsrPartial

if TYPE_CHECKING:
    from lingua_node.engines.base import EngineError
    from lingua_node.pipeline import Outcome
    from lingua_wire.fields import Message
    from lingua_wire.node_messages import JobAssign

GOOD_QUALITY = 0.7
POOR_QUALITY = 0.4


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message, and the binary frame that goes right behind it."""

    message: Message
    frame: bytes | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """What every word of a node on a job needs: its name and what was agreed."""

    node_id: str
    granted: frozenset[str]


def digest_of(audio: bytes, desk: Desk) -> str | None:
    """Give the SHA-256 of a job's audio as it came, where that was agreed."""
    return hashlib.sha256(audio).hexdigest() if Extension.DIGEST in desk.granted else None


def ack(job: JobAssign, desk: Desk, digest: str | None) -> Parcel:
    """Confirm a job and its audio."""
    return Parcel(JobAck(**_job_word(job, desk), audio_sha256=digest))


def started(job: JobAssign, desk: Desk) -> Parcel:
    """Tell that the work began."""
    return Parcel(JobStarted(**_job_word(job, desk)))


def partial(job: JobAssign, desk: Desk, text: str, stable: tuple[str, str] | None) -> Parcel:
    """Tell what was heard so far; ``stable`` is None for the final text."""
    settled, tentative = stable or (text, "")
    agreed = Extension.STABLE_PARTIALS in desk.granted
    return Parcel(
        NodeAsrPartial(
            job_id=job.job_id,
            node_id=desk.node_id,
            session_id=job.session_id,
            utterance_index=job.utterance_index,
            text=text,
            is_final=stable is None,
            trace_id=job.trace_id,
            stable=settled if agreed else None,
            tentative=tentative if agreed else None,
        )
    )


def failure(job: JobAssign, desk: Desk, error: EngineError) -> Parcel:
    """Say that a job failed, and why."""
    problem = JobError(code=error.code, message=error.message[:1000])
    return Parcel(JobResult(**_result_word(job, desk), success=False, error=problem))


def success(job: JobAssign, desk: Desk, outcome: Outcome, digest: str | None, now_ms: int) -> Parcel:
    """Give the result of a job; its speech goes in a frame where that was agreed."""
    spoken, heard = outcome.spoken, outcome.heard
    in_frame = bool(spoken.audio) and Extension.BINARY_AUDIO in desk.granted
    carried = Extension.CARRIED in desk.granted
    message = JobResult(
        **_result_word(job, desk),
        success=True,
        text_asr=heard.text,
        text_translated=outcome.text_translated,
        tts_audio=None if in_frame else encode_base64(spoken.audio),
        tts_format=spoken.audio_format,
        tts_sample_rate=spoken.sample_rate,
        audio_follows=True if in_frame else None,
        extra=_extra(outcome),
        processing_time_ms=outcome.timings_ms["total_ms"],
        node_completed_at_ms=now_ms,
        audio_sha256=digest,
        covered=heard.covered if carried else None,
        carried_from=heard.carried_from if carried else None,
        quality_score=round(heard.quality, 3) if heard.text else None,
        asr_quality_level=level_of(heard.quality) if heard.text else None,
        reason_codes=outcome.problems or None,
    )
    return Parcel(message, _frame(job, outcome) if in_frame else None)


def level_of(quality: float) -> str:
    """Name a quality for people."""
    if quality >= GOOD_QUALITY:
        return "good"
    return "poor" if quality < POOR_QUALITY else "suspect"


def _frame(job: JobAssign, outcome: Outcome) -> bytes:
    spoken = outcome.spoken
    return frames.pack(
        Kind.JOB_TTS, spoken.audio, index=job.utterance_index, samples=spoken.samples, last=True, key=job.job_id
    )


def _extra(outcome: Outcome) -> dict[str, Any]:
    extra: dict[str, Any] = {"service_timings": outcome.timings_ms}
    if outcome.heard.empty_reason is not None:
        extra["reason"] = outcome.heard.empty_reason.value
    else:
        extra["detected_language"] = outcome.heard.language
    if outcome.route:
        extra["route"] = list(outcome.route)
    return extra


def _result_word(job: JobAssign, desk: Desk) -> dict[str, Any]:
    return {
        **_job_word(job, desk),
        "utterance_index": job.utterance_index,
        "group_id": job.group_id,
        "part_index": job.part_index,
    }


def _job_word(job: JobAssign, desk: Desk) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "attempt_id": job.attempt_id,
        "node_id": desk.node_id,
        "session_id": job.session_id,
        "trace_id": job.trace_id,
    }
