"""What a node's result means: which status a job gets, which error, and which pairs it shows to be missing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lingua_state.models import AUTO, Assigned, JobStatus, Pair
from lingua_wire.codes import ErrorCode
from lingua_wire.node_messages import EmptyReason

if TYPE_CHECKING:
    from lingua_state.models import DispatchRequest, JobRecord, NodeRecord
    from lingua_wire.node_messages import JobResult

#: A node that says it is going tells so in its next heartbeat too; base nodes have one each 15 s.
_DRAINING_MS: Final = 20_000
#: How the store ends a job whose owner did not say in time what comes after a lost attempt.
_UNOWNED: Final = frozenset({ErrorCode.JOB_TIMEOUT, ErrorCode.WS_DISCONNECTED, ErrorCode.PROCESSING_ERROR})
_STAGES: Final = ("asr_ms", "nmt_ms", "tts_ms", "total_ms")


def has_text(result: JobResult) -> bool:
    """Tell whether a result says anything."""
    return bool((result.text_asr or "").strip() or (result.text_translated or "").strip())


def status_of(result: JobResult) -> JobStatus:
    """Name the end of a job that succeeded."""
    return JobStatus.COMPLETED if has_text(result) else JobStatus.COMPLETED_NO_TEXT


def empty_reason(result: JobResult) -> str | None:
    """Read why a result is empty, if it says so."""
    reason = (result.extra or {}).get("reason")
    return reason if isinstance(reason, str) else None


def is_quiet(result: JobResult) -> bool:
    """Tell whether the client is to hear nothing of an empty result."""
    return empty_reason(result) in (EmptyReason.ASR_EMPTY, EmptyReason.NO_TEXT_ASSIGNED)


def error_code(result: JobResult) -> ErrorCode:
    """Read why a job failed; a code that is not ours counts as PROCESSING_ERROR."""
    word = result.error.code if result.error else ""
    return ErrorCode[word] if word in ErrorCode.__members__ else ErrorCode.PROCESSING_ERROR


def code_of(word: str) -> ErrorCode:
    """Read a code that the store gives; one that is not ours is a fault of ours."""
    return ErrorCode[word] if word in ErrorCode.__members__ else ErrorCode.INTERNAL_ERROR


def ended_code(last: ErrorCode | None, word: str) -> ErrorCode:
    """Say why a job ended: that no other node came says less than why the ``last`` attempt failed."""
    code = code_of(word)
    return last or code if code is ErrorCode.NO_AVAILABLE_NODE else code


def is_unowned(word: str, attempts_left: int) -> bool:
    """Tell whether a job was ended for want of its owner, and not because there was no attempt left."""
    return code_of(word) in _UNOWNED and attempts_left > 0


def assigned_again(record: JobRecord, node: NodeRecord) -> Assigned:
    """Make the notice of an assignment from the records, where the notice itself was lost."""
    return Assigned(
        job_id=record.job_id,
        session_id=record.session_id,
        owner=record.owner,
        attempt_id=record.attempt_id,
        node_id=record.node_id,
        incarnation=node.incarnation,
        node_instance=node.instance_id,
        acks=node.acks,
        affinity=record.affinity,
        deadline_ms=record.due_ms,
        moved_from=record.moved_from,
    )


def is_of_the_audio(code: ErrorCode) -> bool:
    """Tell whether a job failed for what its client sent: the same audio sent again fails again."""
    return code in (ErrorCode.UNSUPPORTED_FORMAT, ErrorCode.TOO_LARGE)


def kept_out_ms(code: ErrorCode, lacks_model_ms: int) -> int:
    """Say how long a node that failed so gets no more jobs of the same pair."""
    if code is ErrorCode.MODEL_NOT_AVAILABLE:
        return lacks_model_ms
    return _DRAINING_MS if code is ErrorCode.DRAINING else 0


def model_pairs(request: DispatchRequest) -> tuple[Pair, ...]:
    """List the pairs a node does not serve when it can't take this job."""
    if request.pair.source != AUTO:
        return (request.pair,)
    sources = [code for code in request.languages if code != request.pair.target]
    return tuple(Pair(source, request.pair.target) for source in sources)


def stage_ms(result: JobResult) -> dict[str, float]:
    """Read the times per stage, as far as the node tells them."""
    told = (result.extra or {}).get("service_timings")
    told = told if isinstance(told, dict) else {}
    times = {name: float(told[name]) for name in _STAGES if _is_time(told.get(name))}
    if "total_ms" not in times and result.processing_time_ms is not None:
        times["total_ms"] = float(result.processing_time_ms)
    return times


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e7
