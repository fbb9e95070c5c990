"""From an utterance to a job: what the store decides on and what the node is told. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lingua_scheduler.work import Work
from lingua_state.models import DispatchRequest
from lingua_wire.audio import AudioFormat, ms_of_samples

if TYPE_CHECKING:
    from lingua_scheduler.sessions.cuts import Finalized
    from lingua_scheduler.sessions.terms import Languages, Terms
    from lingua_scheduler.settings import JobSettings
    from lingua_wire.session_messages import Pipeline


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job belongs: its names, and the format its audio really has."""

    job_id: str
    session_id: str
    owner: str
    index: int
    audio_format: AudioFormat
    sample_rate: int
    expected_ms: int = 0
    request_id: str | None = None


def plan(utterance: Finalized, terms: Terms, place: Place, settings: JobSettings) -> Work:
    """Make the job of an utterance."""
    return Work(_request(utterance, terms, place, settings), _head(utterance, terms, place), utterance.audio)


def _request(utterance: Finalized, terms: Terms, place: Place, settings: JobSettings) -> DispatchRequest:
    languages = terms.languages
    return DispatchRequest(
        job_id=place.job_id,
        session_id=place.session_id,
        owner=place.owner,
        pair=languages.pair,
        utterance_index=place.index,
        turn_id=utterance.turn_id,
        languages=languages.candidates,
        both_ways=languages.both_ways,
        tenant=terms.tenant,
        pairing=terms.pairing,
        request_id=place.request_id,
        wait_ms=settings.wait_ms,
        timeout_ms=settings.timeout_ms,
        handover_ms=settings.handover_ms,
        expected_ms=place.expected_ms,
        max_attempts=settings.attempts,
        audio_ms=ms_of_samples(utterance.end_sample - utterance.start_sample, utterance.sample_rate),
        audio_format=place.audio_format,
        sample_rate=place.sample_rate,
        finalize_reason=utterance.reason,
        trace_id=terms.trace_id,
        details={"mode": languages.mode.value, "platform": terms.platform[:32]},
    )


def _head(utterance: Finalized, terms: Terms, place: Place) -> dict[str, Any]:
    head: dict[str, Any] = {
        "job_id": place.job_id,
        "session_id": place.session_id,
        "utterance_index": place.index,
        **_language_fields(terms.languages),
        "pipeline": pipeline_fields(terms.pipeline),
        "audio_format": place.audio_format.value,
        "sample_rate": place.sample_rate,
        "trace_id": terms.trace_id,
        "turn_id": utterance.turn_id,
        "padding_ms": utterance.padding_ms,
        "is_manual_cut": utterance.manual,
        "is_timeout_triggered": utterance.timeout,
        "is_max_duration_triggered": utterance.continues,
        "enable_streaming_asr": terms.partial_ms > 0,
        "start_sample": utterance.start_sample,
    }
    if terms.partial_ms:
        head["partial_update_interval_ms"] = terms.partial_ms
    if terms.dialect:
        head["dialect"] = terms.dialect
    if terms.features:
        head["features"] = dict(terms.features)
    return head


def _language_fields(languages: Languages) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "src_lang": languages.pair.source,
        "tgt_lang": languages.pair.target,
        "mode": languages.mode.value,
    }
    if languages.both_ways:
        fields |= {"lang_a": languages.lang_a, "lang_b": languages.lang_b}
    if languages.candidates:
        fields["auto_langs"] = list(languages.candidates)
    return fields


def pipeline_fields(pipeline: Pipeline) -> dict[str, bool]:
    """Write which stages run; what was not said is left to the node."""
    return {name: value for name, value in pipeline.__dict__.items() if value is not None}
