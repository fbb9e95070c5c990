"""The fields of what a client is told about an utterance. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lingua_scheduler.clock import unix_ms
from lingua_scheduler.verdicts import stage_ms
from lingua_wire.ids import is_language
from lingua_wire.session_messages import TranslationResult, UiEvent, UiEventName, UiStatus

if TYPE_CHECKING:
    from lingua_scheduler.sessions.speech import Speech
    from lingua_scheduler.sessions.spoken import Spoken
    from lingua_wire.node_messages import JobResult

_QUALITY: Final = ("asr_quality_level", "reason_codes", "quality_score", "rerun_count", "segments_meta")


def result_fields(
    session_id: str, spoken: Spoken, result: JobResult, speech: Speech, source: str | None, target: str | None
) -> dict[str, Any]:
    """Write a result, without its speech."""
    fields: dict[str, Any] = {
        "type": TranslationResult.type,
        "session_id": session_id,
        "utterance_index": spoken.index,
        "job_id": spoken.job_id,
        "text_asr": result.text_asr or "",
        "text_translated": result.text_translated or "",
        "tts_format": speech.audio_format,
        "trace_id": spoken.terms.trace_id,
        "group_id": spoken.turn_id,
        "part_index": spoken.part_index,
        "service_timings": stage_ms(result),
        "scheduler_sent_at_ms": unix_ms(),
        "extra": {**(result.extra or {}), "node_id": spoken.node_id},
    }
    fields |= {name: value for name in _QUALITY if (value := getattr(result, name)) is not None}
    if source:
        fields["src_lang"] = source
    if target:
        fields["tgt_lang"] = target
    if not speech.empty:
        fields["tts_sample_rate"] = speech.sample_rate
    if spoken.client_id:
        fields["client_utterance_id"] = spoken.client_id
    return fields


def ui_fields(
    session_id: str, job_id: str, index: int, event: UiEventName, trace_id: str, elapsed_ms: int
) -> dict[str, Any]:
    """Write a ``ui_event``."""
    return {
        "type": UiEvent.type,
        "trace_id": trace_id,
        "session_id": session_id,
        "job_id": job_id,
        "utterance_index": index,
        "event": event.value,
        "elapsed_ms": elapsed_ms,
        "status": UiStatus.OK.value,
    }


def detected_language(result: JobResult) -> str | None:
    """Read which language the node heard, if it says so."""
    found = (result.extra or {}).get("detected_language")
    return found if isinstance(found, str) and is_language(found) else None
