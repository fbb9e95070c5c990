"""One connected node: gives it jobs, checks each word it says about them, and hands what counts to the job's owner."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from lingua_scheduler.nodes.assign import assign_frames, in_declared_words
from lingua_scheduler.nodes.work import AtNode, NodeWork
from lingua_scheduler.work import Said
from lingua_wire import codec, frames
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.node_messages import JobAck, JobCancel, JobError, JobResult, NodeAsrPartial
from lingua_wire.session_messages import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.nodes.profile import NodeProfile
    from lingua_scheduler.pump import Pump
    from lingua_scheduler.work import Delivery, NodeWord
    from lingua_wire.fields import Message
    from lingua_wire.node_messages import NodeRegisterAck

log = logging.getLogger(__name__)

#: What may wait for a node that does not read: beyond it, it gets no more jobs.
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024

Frame = str | bytes


class NodeLink:
    """The scheduler's end of one node's socket. ``incarnation`` names this connection."""

    def __init__(
        self, node_id: str, incarnation: str, profile: NodeProfile, carrier: Carrier, metrics: Metrics, limit_bytes: int
    ) -> None:
        self.node_id = node_id
        self.incarnation = incarnation
        self.profile = profile
        self.work = NodeWork()
        self.pump: Pump | None = None
        self.on_idle: Callable[[], None] | None = None
        self.left = ""
        """Why the connection ends, where this side ends it."""
        self._carrier = carrier
        self._metrics = metrics
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[Frame, ...]] = deque()
        self._waiting_bytes = 0
        self._greeted = False

    # Out

    def take(self) -> tuple[Frame, ...] | None:
        """Give the pump what comes next; nothing comes before the first acknowledgement."""
        if not self._waiting or not self._greeted:
            return None
        sent = self._waiting.popleft()
        self._waiting_bytes -= sum(map(len, sent))
        return sent

    def send(self, message: Message | dict[str, Any]) -> None:
        """Queue a message."""
        self._queue(codec.encode_text(message))

    def greet(self, ack: NodeRegisterAck) -> None:
        """Queue the answer to a registration: the first one goes before the jobs that came meanwhile."""
        first, self._greeted = not self._greeted, True
        self._queue(codec.encode_text(ack), first=first)

    def give(self, delivery: Delivery, words: Mapping[str, str]) -> str | None:
        """Queue a job with its audio; returns why it can't be.

        :param words: the node's own words for languages that it is declared with by others.
        """
        if self._waiting_bytes > MAX_WAITING_BYTES:
            return "node_stalled"
        if not self.work.add(delivery, digest=self.profile.digest, words=words):
            return None
        at_node = self.work.find(delivery.job_id)
        message, frame = assign_frames(delivery, self.profile, at_node.digest if at_node else "", words)
        self._queue(message.decode(), *([frame] if frame is not None else []))
        return None

    def recall(self, job_id: str, attempt_id: int, reason: str) -> None:
        """Tell the node that nobody wants the job any more, if it has this attempt."""
        at_node = self.work.find(job_id)
        if at_node is None or at_node.delivery.attempt_id != attempt_id:
            return
        self._end(job_id, "late")
        trace_id = at_node.delivery.head.get("trace_id")
        cancel = JobCancel.model_construct(job_id=job_id, trace_id=trace_id, reason=reason)
        self.send(cancel if self.profile.base else cancel.model_copy(update={"attempt_id": attempt_id}))

    async def dismiss(self, error: WireError) -> None:
        """Close the connection of a node that must go, and tell it why."""
        self.left = "dismissed"
        self.complain(error)
        if self.pump is not None:
            await self.pump.close(error.close or CloseCode.POLICY, f"{error.code}: {error.message}")

    def complain(self, error: WireError) -> None:
        """Tell the node what was wrong with its message, if it may be told."""
        self._metrics.errors.of("node", error.code).inc()
        if self.profile.errors:
            self.send(Error.model_construct(code=error.code, message=error.message))

    # In

    def take_word(self, word: NodeWord) -> None:
        """Take what the node says about a job; what does not count is counted, and changes nothing.

        :raises WireError: the ids of an extended node's word do not fit together.
        """
        at_node = self.work.find(word.job_id)
        if at_node is None:
            self._reject(self.work.why_unknown(word.job_id), word)
            return
        if not self._is_about(word, at_node):
            self._reject("wrong_node" if word.node_id != self.node_id else "stale_attempt", word)
            return
        if isinstance(word, JobAck | JobResult) and self._is_forged(word, at_node):
            self._reject("digest", word)
            if isinstance(word, JobAck):
                self.send(JobCancel.model_construct(job_id=word.job_id, trace_id=word.trace_id, reason="digest"))
            word = _digest_failure(word)
        if isinstance(word, JobResult):
            self._take_result(word, at_node)
        else:
            self._say(at_node, word)

    def take_frame(self, data: bytes) -> None:
        """Take a binary frame: speech of a result that said so.

        :raises WireError: it belongs to nothing.
        """
        frame = frames.unpack(data)
        if frame.kind is not frames.Kind.JOB_TTS:
            raise WireError(
                ErrorCode.INVALID_MESSAGE, "a node sends JOB_TTS frames only", close=CloseCode.WRONG_FRAME_KIND
            )
        at_node = self.work.find(frame.key)
        if at_node is None or at_node.result is None:
            self._metrics.results_rejected.of(self.work.why_unknown(frame.key)).inc()
            return
        at_node.speech += frame.audio
        if len(at_node.speech) > self._limit_bytes:
            raise WireError(ErrorCode.TOO_LARGE, "the speech of the job is too large", close=CloseCode.TOO_BIG)
        if frame.last:
            self._finish(at_node, at_node.result, bytes(at_node.speech))

    def lost(self) -> list[AtNode]:
        """Give the jobs that were with the node when its connection ended."""
        return self.work.all()

    def _take_result(self, result: JobResult, at_node: AtNode) -> None:
        if result.audio_follows and self.profile.binary_audio and result.success:
            if at_node.result is not None:
                self._reject("duplicate", result)
                return
            at_node.result = result
            return
        self._finish(at_node, result, None)

    def _finish(self, at_node: AtNode, result: JobResult, speech: bytes | None) -> None:
        self._end(at_node.delivery.job_id, "duplicate")
        self._say(at_node, in_declared_words(result, at_node.words), speech)

    def _say(self, at_node: AtNode, word: NodeWord, speech: bytes | None = None) -> None:
        delivery = at_node.delivery
        said = Said(delivery.job_id, delivery.attempt_id, self.node_id, self.incarnation, word, speech)
        self._carrier.say(delivery.owner, said)

    def _is_about(self, word: NodeWord, at_node: AtNode) -> bool:
        if not self.profile.own_ids:
            return True
        attempt_id = at_node.delivery.attempt_id if isinstance(word, NodeAsrPartial) else word.attempt_id
        return (
            word.node_id == self.node_id
            and attempt_id == at_node.delivery.attempt_id
            and word.session_id == at_node.session_id
        )

    def _is_forged(self, word: JobAck | JobResult, at_node: AtNode) -> bool:
        if not at_node.digest or (isinstance(word, JobResult) and not word.success):
            return False
        return word.audio_sha256 != at_node.digest

    def _reject(self, reason: str, word: NodeWord) -> None:
        if isinstance(word, JobResult) or reason == "digest":
            self._metrics.results_rejected.of(reason).inc()
            log.info("result rejected", extra={"job_id": word.job_id, "node_id": self.node_id, "reason": reason})

    def _end(self, job_id: str, why: str) -> None:
        self.work.end(job_id, why)
        if not len(self.work) and self.on_idle is not None:
            self.on_idle()

    def _queue(self, *sent: Frame, first: bool = False) -> None:
        (self._waiting.appendleft if first else self._waiting.append)(sent)
        self._waiting_bytes += sum(map(len, sent))
        if self.pump is not None:
            self.pump.wake()


def _digest_failure(word: JobAck | JobResult) -> JobResult:
    """Count a proof that does not fit as a failed attempt."""
    return JobResult.model_construct(
        job_id=word.job_id,
        attempt_id=word.attempt_id,
        node_id=word.node_id,
        session_id=word.session_id,
        trace_id=word.trace_id,
        utterance_index=0,
        success=False,
        error=JobError.model_construct(code=ErrorCode.PROCESSING_ERROR, message="the audio digest does not fit"),
    )
