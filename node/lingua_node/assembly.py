"""Put a job and the binary frames of its audio together. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lingua_wire import limits
from lingua_wire.audio import decode_base64
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.frames import Kind

if TYPE_CHECKING:
    from lingua_wire.frames import Frame
    from lingua_wire.node_messages import JobAssign

MAX_WAITING = 64


@dataclass(slots=True)
class _Waiting:
    job: JobAssign
    audio: bytearray = field(default_factory=bytearray)


class Assembly:
    """Keep the jobs whose audio is still on its way, bounded in number and size."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}

    def job(self, job: JobAssign) -> tuple[JobAssign, bytes] | None:
        """Take a job; give it back with its audio when that is already there.

        :raises WireError: the audio is not base64.
        """
        if not job.audio_follows:
            return job, decode_base64(job.audio or "")
        self._waiting[job.job_id] = _Waiting(job)
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        return None

    def frame(self, frame: Frame) -> tuple[JobAssign, bytes] | None:
        """Take a frame; give the job with its audio when this was the last one.

        :raises WireError: no job waits for it, or the job's audio grows too large.
        """
        waiting = self._waiting.get(frame.key) if frame.kind is Kind.JOB_AUDIO else None
        if waiting is None:
            raise WireError(ErrorCode.OUT_OF_STATE, "no job waits for this audio")
        waiting.audio += frame.audio
        if len(waiting.audio) > limits.NODE_FRAME_BYTES:
            del self._waiting[frame.key]
            raise WireError(ErrorCode.TOO_LARGE, "the audio of the job is too large")
        if not frame.last:
            return None
        del self._waiting[frame.key]
        return waiting.job, bytes(waiting.audio)

    def drop(self, job_id: str) -> bool:
        """Forget a job whose audio is still on its way; tell whether there was one."""
        return self._waiting.pop(job_id, None) is not None

    def clear(self) -> None:
        """Forget everything: the connection it would come on is gone."""
        self._waiting.clear()
