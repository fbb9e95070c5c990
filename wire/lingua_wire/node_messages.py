"""The messages of ``/ws/node``, both ways (docs/protocol.md, Node messages).

What a base node only reports (metrics, hardware details) is kept as it came: an odd figure there must not cost the node
its place. Fields after the comment ``extensions`` exist only between peers that agreed on them.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lingua_wire.fields import (
    MAX_ITEMS,
    NULL_IS_EMPTY,
    AudioFormatField,
    Base64,
    Clock,
    Count,
    JsonObject,
    JsonObjects,
    Languages,
    Measure,
    Message,
    Milliseconds,
    Name,
    Names,
    PairName,
    PairNames,
    Part,
    SampleRange,
    SampleRate,
    Sentence,
    Sha256,
    Spoken,
    Text,
)
from lingua_wire.ids import Id, Language
from lingua_wire.session_messages import LanguageSettings, Pipeline, Quality


class EmptyReason(StrEnum):
    """Why a successful job has no text (``extra.reason``): the client gets nothing for these two."""

    ASR_EMPTY = "ASR_EMPTY"
    NO_TEXT_ASSIGNED = "NO_TEXT_ASSIGNED"


class NodeWireStatus(StrEnum):
    """Where a node is in its life, as told in messages."""

    REGISTERING = "registering"
    READY = "ready"
    DEGRADED = "degraded"
    DRAINING = "draining"
    OFFLINE = "offline"


class NodeCommand(StrEnum):
    """What ``node_control`` asks for; ``register`` is sent only to nodes with an extension."""

    SHUTDOWN = "shutdown"
    RELOAD_CONFIG = "reload_config"
    DRAIN = "drain"
    REGISTER = "register"


class Gpu(Part):
    """A graphics card."""

    name: Name
    memory_gb: Measure


class Hardware(Part):
    """What the node's machine has."""

    cpu_cores: Count
    memory_gb: Measure
    gpus: Annotated[tuple[Gpu, ...], Field(strict=False, max_length=64), NULL_IS_EMPTY] = ()


class InstalledService(Part):
    """A service on the node: asr, nmt, tts, tone, semantic, or one we do not know."""

    service_id: Name
    type: Name
    device: Name | None = None
    status: Name | None = None
    version: Name | None = None
    model_id: Name | None = None
    engine: Name | None = None
    mem_mb: Measure | None = None


class TypeCapability(Part):
    """Whether the node can serve a type; base nodes say ready only of a GPU service."""

    type: Name
    ready: bool
    reason: Sentence | None = None
    ready_impl_ids: Names | None = None
    devices: Any = None


class LanguageCapabilities(Part):
    """What the node hears, understands and speaks."""

    asr_languages: Annotated[Languages, NULL_IS_EMPTY] = ()
    semantic_languages: Annotated[Languages, NULL_IS_EMPTY] = ()
    tts_languages: Annotated[Languages, NULL_IS_EMPTY] = ()
    semantic_core_ready: bool | None = None
    # extensions
    auto: bool | None = None
    excluded_pairs: Annotated[PairNames, NULL_IS_EMPTY] = ()


class ResourceUsage(Part):
    """How busy the node's machine is."""

    cpu_percent: Measure
    gpu_percent: Measure | None = None
    gpu_mem_percent: Measure | None = None
    mem_percent: Measure
    running_jobs: Count | None = None
    gpu_queue_length: Measure | None = None


Services = Annotated[tuple[InstalledService, ...], Field(strict=False, max_length=MAX_ITEMS)]
TypeCapabilities = Annotated[tuple[TypeCapability, ...], Field(strict=False, max_length=MAX_ITEMS)]
PairNotes = Annotated[dict[PairName, Sentence], Field(max_length=MAX_ITEMS)]


class NodeRegister(Message):
    """Join: who the node is and what it can do."""

    type: ClassVar[str] = "node_register"
    node_id: Id | None = None
    version: Name
    capability_schema_version: Name | None = None
    platform: Name
    hardware: Hardware
    installed_models: Annotated[JsonObjects, NULL_IS_EMPTY] = ()
    installed_services: Annotated[Services, NULL_IS_EMPTY] = ()
    capability_by_type: Annotated[TypeCapabilities, NULL_IS_EMPTY] = ()
    features_supported: JsonObject | Names | None = None
    advanced_features: JsonObject | Names | None = None
    accept_public_jobs: bool
    language_capabilities: LanguageCapabilities | None = None
    # extensions
    extensions: Annotated[Names, NULL_IS_EMPTY] = ()
    max_jobs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    pairing_code: Name | None = None
    tenant_id: Id | None = None
    pair_notes: PairNotes | None = None
    weight: Annotated[float, Field(gt=0, le=1000)] | None = None
    running_job_ids: Annotated[tuple[Id, ...], Field(strict=False, max_length=MAX_ITEMS), NULL_IS_EMPTY] = ()


class NodeHeartbeat(Message):
    """Say that the node is there, and how busy."""

    type: ClassVar[str] = "node_heartbeat"
    node_id: Id
    timestamp: Clock
    resource_usage: ResourceUsage
    installed_models: JsonObjects | None = None
    installed_services: Services | None = None
    capability_by_type: TypeCapabilities | None = None
    rerun_metrics: JsonObject | None = None
    asr_metrics: JsonObject | None = None
    processing_metrics: JsonObject | None = None
    language_capabilities: LanguageCapabilities | None = None
    # extensions
    status: Annotated[NodeWireStatus, Field(strict=False)] | None = None


class JobWord(Message):
    """What every word of a node on a job begins with. The node's trace id is shown at most: ours is in the job."""

    job_id: Id
    attempt_id: Count
    node_id: Id
    session_id: Id
    trace_id: Name


class JobAck(JobWord):
    """Confirm that the job and its audio are here."""

    type: ClassVar[str] = "job_ack"
    # extensions
    audio_sha256: Sha256 | None = None


class JobStarted(JobWord):
    """Tell that the work began."""

    type: ClassVar[str] = "job_started"


class NodeAsrPartial(Message):
    """What the node heard so far."""

    type: ClassVar[str] = "asr_partial"
    job_id: Id
    node_id: Id
    session_id: Id
    utterance_index: Count
    text: Text
    is_final: bool
    trace_id: Name
    # extensions
    stable: Text | None = None
    tentative: Text | None = None


class JobError(Part):
    """Why a job failed; ``code`` is one of ours or the node's own."""

    code: Name
    message: Sentence
    details: Any = None


class JobResult(JobWord, Quality):
    """The end of a job. With ``audio_follows`` the speech comes in binary frames."""

    type: ClassVar[str] = "job_result"
    utterance_index: Count
    success: bool
    text_asr: Text | None = None
    text_translated: Text | None = None
    tts_audio: Base64 | None = None
    tts_format: Name | None = None
    extra: JsonObject | None = None
    processing_time_ms: Measure | None = None
    error: JobError | None = None
    group_id: Name | None = None
    part_index: Count | None = None
    node_completed_at_ms: Clock | None = None
    # extensions
    audio_follows: bool | None = None
    tts_sample_rate: SampleRate | None = None
    covered: SampleRange | None = None
    carried_from: Count | None = None
    audio_sha256: Sha256 | None = None
    stable: Text | None = None
    tentative: Text | None = None


class NodeError(Message):
    """Report trouble of the node that belongs to no job."""

    type: ClassVar[str] = "node_error"
    node_id: Id
    code: Name
    message: Sentence
    details: Any = None


class NodeRegisterAck(Message):
    """Accept a node and say what was agreed."""

    type: ClassVar[str] = "node_register_ack"
    node_id: Id
    message: Sentence
    status: Annotated[NodeWireStatus, Field(strict=False)]
    # extensions
    extensions: Names | None = None
    heartbeat_ms: Milliseconds | None = None
    lease_ms: Milliseconds | None = None
    max_jobs: Count | None = None
    instance_id: Id | None = None


class JobAssign(LanguageSettings, Spoken):
    """Give a node a job."""

    type: ClassVar[str] = "job_assign"
    job_id: Id
    attempt_id: Count
    session_id: Id
    utterance_index: Count
    src_lang: Language
    tgt_lang: Language
    pipeline: Pipeline
    audio_format: AudioFormatField
    sample_rate: SampleRate
    trace_id: Id
    group_id: Id | None = None
    part_index: Count | None = None
    context_text: Text | None = None
    padding_ms: Milliseconds | None = None
    is_manual_cut: bool = False
    is_timeout_triggered: bool = False
    is_max_duration_triggered: bool = False
    turn_id: Id | None = None
    # extensions
    audio_sha256: Sha256 | None = None
    start_sample: Count | None = None
    deadline_ms: Milliseconds | None = None


class JobCancel(Message):
    """Take a job back: nobody wants its result any more."""

    type: ClassVar[str] = "job_cancel"
    job_id: Id
    trace_id: Id | None = None
    reason: Name | None = None
    # extensions
    attempt_id: Count | None = None


class NodeControl(Message):
    """Tell a node to stop, to read its settings again, to drain, or to register again."""

    type: ClassVar[str] = "node_control"
    command: Annotated[NodeCommand, Field(strict=False)]
    reason: Sentence | None = None
