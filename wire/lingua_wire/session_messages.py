"""The messages of ``/ws/session``, both ways (docs/protocol.md, Session messages).

Fields after the comment ``extensions`` exist only between peers that agreed on them.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lingua_wire.fields import (
    NULL_IS_EMPTY,
    AudioFormatField,
    Base64,
    Clock,
    Count,
    JsonObject,
    Languages,
    Measure,
    Message,
    Milliseconds,
    ModeField,
    Name,
    Names,
    Part,
    SampleRate,
    Sentence,
    Spoken,
    Text,
)
from lingua_wire.ids import Id, Language


class FinalizeReason(StrEnum):
    """Why an utterance ended."""

    IS_FINAL = "IsFinal"
    TIMEOUT = "Timeout"
    MAX_DURATION = "MaxDuration"
    MAX_LENGTH = "MaxLength"
    SILENCE = "Silence"
    CLOSE = "Close"
    DRAIN = "Drain"


class SkipReason(StrEnum):
    """Why a finalize made no job."""

    NO_SPEECH = "no_speech"
    TOO_SHORT = "too_short"
    CANCELLED = "cancelled"


class MissingReason(StrEnum):
    """Why an utterance has no result (the ``reason`` of ``missing_result``)."""

    SILENCE_DETECTED = "silence_detected"
    TIMEOUT = "timeout"
    NODE_LOST = "node_lost"
    NO_NODE = "no_available_node"
    FAILED = "failed"
    CANCELLED = "cancelled"


class UiEventName(StrEnum):
    """What a ``ui_event`` tells."""

    INPUT_STARTED = "INPUT_STARTED"
    INPUT_ENDED = "INPUT_ENDED"
    ASR_PARTIAL = "ASR_PARTIAL"
    ASR_FINAL = "ASR_FINAL"
    DISPATCHED = "DISPATCHED"
    NODE_ACCEPTED = "NODE_ACCEPTED"
    NMT_DONE = "NMT_DONE"
    TTS_PLAY_STARTED = "TTS_PLAY_STARTED"
    TTS_PLAY_ENDED = "TTS_PLAY_ENDED"
    ERROR = "ERROR"


class UiStatus(StrEnum):
    """How it went."""

    OK = "ok"
    ERROR = "error"


class Pipeline(Part):
    """Which stages a job runs; absent ones count as the default of the scheduler."""

    use_asr: bool = True
    use_nmt: bool = True
    use_tts: bool = True
    use_semantic: bool | None = None
    use_tone: bool | None = None


class LanguageSettings(Message):
    """What a session and a single utterance both say of their languages."""

    dialect: Name | None = None
    features: JsonObject | None = None
    mode: ModeField | None = None
    lang_a: Language | None = None
    lang_b: Language | None = None
    auto_langs: Languages | None = None
    enable_streaming_asr: bool | None = None
    partial_update_interval_ms: Milliseconds | None = None
    trace_id: Id | None = None


class SessionInit(LanguageSettings):
    """Open a session: who, which languages, which extensions."""

    type: ClassVar[str] = "session_init"
    client_version: Name
    platform: Name
    src_lang: Language
    tgt_lang: Language
    pairing_code: Name | None = None
    tenant_id: Id | None = None
    # extensions
    extensions: Annotated[Names, NULL_IS_EMPTY] = ()
    audio_format: AudioFormatField | None = None
    sample_rate: SampleRate | None = None
    pipeline: Pipeline | None = None
    pause_ms: Milliseconds | None = None
    vad_silence_ms: Milliseconds | None = None
    max_duration_ms: Milliseconds | None = None
    session_id: Id | None = None
    resume_token: Name | None = None
    last_seq: Count | None = None
    from_sample: Count | None = None
    from_index: Count | None = None
    held_sample: Count | None = None


class AudioChunk(Message):
    """A piece of the utterance being spoken; ``is_final`` ends it."""

    type: ClassVar[str] = "audio_chunk"
    session_id: Id
    seq: Count
    is_final: bool
    payload: Base64 | None = None
    client_timestamp_ms: Clock | None = None
    # extensions
    client_utterance_id: Id | None = None


class Utterance(LanguageSettings, Spoken):
    """One whole utterance."""

    type: ClassVar[str] = "utterance"
    session_id: Id
    utterance_index: Count
    manual_cut: bool
    src_lang: Language
    tgt_lang: Language
    audio_format: AudioFormatField
    sample_rate: SampleRate
    pipeline: Pipeline | None = None
    # extensions
    client_utterance_id: Id | None = None
    resend_of: Count | None = None
    from_sample: Count | None = None


class ClientHeartbeat(Message):
    """Say that the client is there."""

    type: ClassVar[str] = "client_heartbeat"
    session_id: Id
    timestamp: Clock


class EventAck(Message):
    """Extension: the client has every event up to this number."""

    type: ClassVar[str] = "event_ack"
    session_id: Id
    last_seq: Count


class SessionClose(Message):
    """End the session; what was spoken is still translated."""

    type: ClassVar[str] = "session_close"
    session_id: Id
    reason: Sentence | None = None


class SessionUpdate(Message):
    """Extension: change settings from the next utterance on; absent fields stay."""

    type: ClassVar[str] = "session_update"
    session_id: Id
    src_lang: Language | None = None
    tgt_lang: Language | None = None
    pause_ms: Milliseconds | None = None
    vad_silence_ms: Milliseconds | None = None
    max_duration_ms: Milliseconds | None = None


class TtsStarted(Message):
    """Tell that a group of results began to play."""

    type: ClassVar[str] = "tts_started"
    session_id: Id
    trace_id: Id
    group_id: Id
    ts_start_ms: Clock


class TtsPlayEnded(Message):
    """Tell that a group of results was played."""

    type: ClassVar[str] = "tts_play_ended"
    session_id: Id
    trace_id: Id
    group_id: Id
    ts_end_ms: Clock


class SessionInitAck(Message):
    """Accept a session and say what was agreed."""

    type: ClassVar[str] = "session_init_ack"
    session_id: Id
    assigned_node_id: Id | None = None
    message: Sentence
    trace_id: Id
    protocol_version: Name | None = None
    use_binary_frame: bool | None = None
    negotiated_codec: Name | None = None
    negotiated_audio_format: Name | None = None
    negotiated_sample_rate: SampleRate | None = None
    negotiated_channel_count: Count | None = None
    # extensions
    extensions: Names | None = None
    resume_token: Name | None = None
    instance_id: Id | None = None


class SessionResumed(Message):
    """Extension: the session goes on here; the client sends again from ``resume_from_sample``."""

    type: ClassVar[str] = "session_resumed"
    session_id: Id
    resume_from_sample: Count
    next_utterance_index: Count | None = None
    resume_token: Name | None = None
    trace_id: Id | None = None


class AsrPartial(Message):
    """What was heard so far; ``stable`` will not change any more, ``tentative`` may."""

    type: ClassVar[str] = "asr_partial"
    session_id: Id
    utterance_index: Count
    job_id: Id
    text: Text
    is_final: bool
    trace_id: Id
    # extensions
    stable: Text | None = None
    tentative: Text | None = None
    seq: Count | None = None


class ServiceTimings(Part):
    """How long each stage took on the node."""

    asr_ms: Measure | None = None
    nmt_ms: Measure | None = None
    tts_ms: Measure | None = None
    total_ms: Measure | None = None


class Quality(Message):
    """What a node says of its result and the scheduler hands on."""

    asr_quality_level: Name | None = None
    reason_codes: Names | None = None
    quality_score: Measure | None = None
    rerun_count: Count | None = None
    segments_meta: Any = None


class TranslationResult(Quality):
    """The result of one job: heard text, translated text, spoken translation."""

    type: ClassVar[str] = "translation_result"
    session_id: Id
    utterance_index: Count
    job_id: Id
    text_asr: Text
    text_translated: Text
    tts_audio: Base64 | None = None
    tts_format: Name
    extra: JsonObject | None = None
    trace_id: Id
    group_id: Id | None = None
    part_index: Count | None = None
    service_timings: ServiceTimings | None = None
    network_timings: JsonObject | None = None
    scheduler_sent_at_ms: Clock | None = None
    # extensions
    audio_follows: bool | None = None
    tts_sample_rate: SampleRate | None = None
    src_lang: Language | None = None
    tgt_lang: Language | None = None
    client_utterance_id: Id | None = None
    stable: Text | None = None
    tentative: Text | None = None
    seq: Count | None = None
    consumed: Count | None = None


class MissingResult(Message):
    """Tell that an utterance has no result and none will come."""

    type: ClassVar[str] = "missing_result"
    session_id: Id
    utterance_index: Count
    reason: Name
    created_at_ms: Clock
    trace_id: Id | None = None
    # extensions
    seq: Count | None = None
    consumed: Count | None = None


class UiEvent(Message):
    """Where an utterance is, for display."""

    type: ClassVar[str] = "ui_event"
    trace_id: Id
    session_id: Id
    job_id: Id
    utterance_index: Count
    event: Annotated[UiEventName, Field(strict=False)]
    elapsed_ms: Clock | None = None
    status: Annotated[UiStatus, Field(strict=False)]
    error_code: Name | None = None
    hint: Sentence | None = None


class ServerHeartbeat(Message):
    """Answer a client's heartbeat."""

    type: ClassVar[str] = "server_heartbeat"
    session_id: Id
    timestamp: Clock


class SessionCloseAck(Message):
    """Confirm the end of the session; nothing follows."""

    type: ClassVar[str] = "session_close_ack"
    session_id: Id


class LanguageDetected(Message):
    """Tell which language was heard."""

    type: ClassVar[str] = "language_detected"
    session_id: Id
    utterance_index: Count
    language: Language
    confidence: Measure | None = None
    trace_id: Id | None = None


class Backpressure(Message):
    """Ask the client to send no faster than this. Never sent to base peers."""

    type: ClassVar[str] = "backpressure"
    session_id: Id
    reason: Name
    max_rate: Measure | None = None
    buffered_ms: Count | None = None
    retry_after_ms: Milliseconds | None = None


class Error(Message):
    """Say what went wrong; ``code`` is one of :class:`~lingua_wire.codes.ErrorCode`."""

    type: ClassVar[str] = "error"
    code: Name
    message: Sentence
    details: Any = None
    # extensions
    retryable: bool | None = None


class AudioAck(Message):
    """Extension: how far the session's audio came, in samples; drop only what lies below ``consumed``."""

    type: ClassVar[str] = "audio_ack"
    session_id: Id
    received: Count
    accepted: Count
    consumed: Count
    buffered_ms: Count
    lag_ms: Count


class UtteranceFinalized(Message):
    """Extension: an utterance ended and became a job."""

    type: ClassVar[str] = "utterance_finalized"
    session_id: Id
    utterance_index: Count
    reason: Annotated[FinalizeReason, Field(strict=False)]
    start_ms: Count
    end_ms: Count
    continues: bool
    job_id: Id | None = None
    client_utterance_id: Id | None = None
    seq: Count | None = None


class UtteranceSkipped(Message):
    """Extension: a finalize that made no job. ``utterance_index`` is absent, for none was used."""

    type: ClassVar[str] = "utterance_skipped"
    session_id: Id
    reason: Annotated[SkipReason, Field(strict=False)]
    utterance_index: Count | None = None
    client_utterance_id: Id | None = None
    seq: Count | None = None
    consumed: Count | None = None


class UtteranceFailed(Message):
    """Extension: an utterance has no result; with ``resend_from_sample`` the client may send its audio again."""

    type: ClassVar[str] = "utterance_failed"
    session_id: Id
    utterance_index: Count
    code: Name
    message: Sentence | None = None
    retryable: bool
    resend_from_sample: Count | None = None
    resend_to_sample: Count | None = None
    client_utterance_id: Id | None = None
    seq: Count | None = None
    consumed: Count | None = None


class GoingAway(Message):
    """Extension: this connection will be closed; connect again after ``reconnect_after_ms``."""

    type: ClassVar[str] = "going_away"
    session_id: Id
    reason: Name
    deadline_ms: Milliseconds
    reconnect_after_ms: Milliseconds
