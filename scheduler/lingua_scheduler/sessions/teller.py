"""What one client is told, in the form its profile wants, in order, through a bounded outbox. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from lingua_scheduler.clock import now_ms, unix_ms
from lingua_scheduler.sessions.journal import Journal
from lingua_scheduler.sessions.outbox import Outbox, OutboxRules, Outgoing
from lingua_scheduler.sessions.resuming import Entry, Mark, Start, retold
from lingua_scheduler.sessions.speech import speech_of
from lingua_scheduler.sessions.told_fields import detected_language, result_fields, ui_fields
from lingua_wire import codec, frames
from lingua_wire.codes import CODES, ErrorCode
from lingua_wire.session_messages import (
    AsrPartial,
    AudioAck,
    Backpressure,
    Error,
    FinalizeReason,
    GoingAway,
    LanguageDetected,
    MissingReason,
    MissingResult,
    SkipReason,
    UiEventName,
    UiStatus,
    UtteranceFailed,
    UtteranceFinalized,
    UtteranceSkipped,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.sessions.cuts import Finalized, Skipped
    from lingua_scheduler.sessions.flow import Verdict
    from lingua_scheduler.sessions.profile import ClientProfile
    from lingua_scheduler.sessions.receipts import Receipt
    from lingua_scheduler.sessions.recorder import Recorder
    from lingua_scheduler.sessions.spoken import Spoken
    from lingua_scheduler.settings import SessionSettings
    from lingua_scheduler.work import Failed
    from lingua_wire.fields import Message
    from lingua_wire.node_messages import JobResult, NodeAsrPartial

_MISSING: Final = {
    ErrorCode.NO_AVAILABLE_NODE: MissingReason.NO_NODE,
    ErrorCode.QUEUE_FULL: MissingReason.NO_NODE,
    ErrorCode.JOB_TIMEOUT: MissingReason.TIMEOUT,
    ErrorCode.NODE_UNAVAILABLE: MissingReason.NODE_LOST,
    ErrorCode.WS_DISCONNECTED: MissingReason.NODE_LOST,
    ErrorCode.JOB_CANCELLED: MissingReason.CANCELLED,
}


BEGINNING: Final = Start()


class Line(Protocol):
    """A client's connection, as those who speak over it see it."""

    def send(self, frames: tuple[str | bytes, ...]) -> bool:
        """Send an event before which nothing waits; False: it has to wait, and nothing was sent."""

    def wake(self) -> None:
        """Send what waits."""

    def overflow(self) -> None:
        """End the connection: its client does not read."""


class Teller:
    """Writes events for one client over its ``line``; while there is none, only what is kept for a resume is.

    ``mark`` tells how far outcomes reach, and ``recorder`` keeps what was told in the store.
    """

    def __init__(
        self,
        session_id: str,
        profile: ClientProfile,
        settings: SessionSettings,
        metrics: Metrics,
        line: Line | None = None,
        start: Start = BEGINNING,
    ) -> None:
        self.session_id = session_id
        self.mark: Callable[[], Mark] = Mark
        self.recorder: Recorder | None = None
        self.journal: Journal | None = None
        self._profile = profile
        self._metrics = metrics
        self._line = line
        self._rules = OutboxRules(
            max_events=settings.outbox_events, max_bytes=settings.outbox_bytes, speech_ms=settings.speech_ms
        )
        self._outbox = Outbox(self._rules)
        self._before = start.mark
        if profile.resume:
            self.journal = Journal(settings.outbox_events, settings.outbox_bytes, start.seq)

    def take(self) -> tuple[str | bytes, ...] | None:
        """Give the pump what comes next."""
        outgoing = self._outbox.take(now_ms())
        self._count_left_out()
        return outgoing.frames if outgoing is not None else None

    def connect(self, line: Line) -> None:
        """Go on over a new connection; what waited for the one before is in the journal, or of no use."""
        self._line = line
        self._outbox = Outbox(self._rules)

    def replay(self, last_seq: int) -> None:
        """Tell what the client has not got, and forget what it has."""
        if self.journal is not None and self.recorder is not None:
            self.journal.ack(last_seq)
            self.recorder.note(self.journal, self._before)
        for event in (self.journal.after(last_seq) if self.journal is not None else None) or ():
            self._put(event)

    def disconnect(self) -> None:
        """Tell nobody: the connection is lost."""
        self._line = None

    def acked(self, seq: int) -> None:
        """Forget what the client has."""
        if self.journal is not None and self.journal.ack(seq) and self.recorder is not None:
            self.recorder.note(self.journal, self._before)

    def tell_again(self, entries: tuple[Entry, ...]) -> None:
        """Tell what the client missed, from the text that the store had kept."""
        if self.journal is None:
            return
        for entry in entries:
            text = codec.encode_text(retold(entry, self.journal.number(), self.session_id))
            outgoing = Outgoing((text,), final_of=entry.index, seq=self.journal.seq)
            self._note(outgoing, Entry(text, entry.before, entry.after, index=entry.index))
            self._put(outgoing)

    def send(self, message: Message) -> None:
        """Queue a message."""
        self._put(Outgoing((codec.encode_text(message),)))

    # Utterances

    def finalized(self, spoken: Spoken, cut: Finalized) -> None:
        """Report that an utterance ended and became a job."""
        if self._profile.reports:
            self._keep(
                UtteranceFinalized.model_construct(
                    session_id=self.session_id,
                    utterance_index=spoken.index,
                    reason=FinalizeReason(cut.reason),
                    start_ms=cut.start_sample * 1000 // cut.sample_rate,
                    end_ms=cut.end_sample * 1000 // cut.sample_rate,
                    continues=cut.continues,
                    job_id=spoken.job_id,
                    client_utterance_id=cut.client_id,
                )
            )
        self.ui(spoken, UiEventName.INPUT_ENDED)

    def skipped(self, cut: Skipped) -> None:
        """Report a finalize that made no job, to a client that asked for it."""
        if self._profile.reports and not cut.quiet:
            reason = SkipReason.TOO_SHORT if cut.reason == "too_short" else SkipReason.NO_SPEECH
            self._keep(
                UtteranceSkipped.model_construct(
                    session_id=self.session_id, reason=reason, client_utterance_id=cut.client_id
                )
            )

    def partial(self, spoken: Spoken, partial: NodeAsrPartial) -> None:
        """Tell what was heard so far; it never waits for earlier utterances."""
        message = AsrPartial.model_construct(
            session_id=self.session_id,
            utterance_index=spoken.index,
            job_id=spoken.job_id,
            text=partial.text,
            is_final=partial.is_final,
            trace_id=spoken.terms.trace_id,
            stable=partial.stable if self._profile.stable else None,
            tentative=partial.tentative if self._profile.stable else None,
        )
        self._metrics.delivered.of("partial").inc()
        self._put(Outgoing((codec.encode_text(message),), partial_of=spoken.index))

    def result(self, spoken: Spoken, result: JobResult, frame: bytes | None) -> None:
        """Tell a result, with its speech."""
        speech = speech_of(result, frame, bare=self._profile.bare_speech, as_bytes=self._profile.binary_audio)
        source, target = spoken.terms.languages.direction(detected_language(result))
        fields = result_fields(self.session_id, spoken, result, speech, source, target)
        if source and spoken.terms.languages.pair.source != source:
            self._language(spoken, source)
        self._metrics.delivered.of("text").inc()
        seq = self._number(fields)
        lean = codec.encode_text({**fields, "tts_audio": ""})
        if speech.empty:
            self._tell(Outgoing((lean,), final_of=spoken.index, seq=seq), lean)
            return
        self._metrics.delivered.of("speech").inc()
        if self._profile.binary_audio:
            sound = frames.pack(frames.Kind.SERVER_TTS, speech.as_bytes(), index=spoken.index, last=True)
            full: tuple[str | bytes, ...] = (codec.encode_text({**fields, "audio_follows": True}), sound)
        else:
            full = (codec.encode_text({**fields, "tts_audio": speech.as_base64()}),)
        self._tell(Outgoing(full, final_of=spoken.index, without_speech=(lean,), seq=seq), lean)

    def missing(self, spoken: Spoken, reason: MissingReason) -> None:
        """Tell that an utterance has no result and none will come."""
        self._metrics.missing.of(reason).inc()
        message = MissingResult.model_construct(
            session_id=self.session_id,
            utterance_index=spoken.index,
            reason=reason.value,
            created_at_ms=unix_ms(),
            trace_id=spoken.terms.trace_id,
        )
        self._keep(message, spoken.index)

    def failed(self, spoken: Spoken, failed: Failed, resend_from: int | None) -> None:
        """Tell that an utterance failed: to be sent again where that may help, else as missing, with a quiet hint."""
        if self._profile.reports:
            retryable = failed.audio_lost or CODES[failed.code].retryable
            self._metrics.missing.of(_MISSING.get(failed.code, MissingReason.FAILED)).inc()
            message = UtteranceFailed.model_construct(
                session_id=self.session_id,
                utterance_index=spoken.index,
                code=failed.code.value,
                message=CODES[failed.code].title,
                retryable=retryable,
                resend_from_sample=resend_from,
                resend_to_sample=None if resend_from is None else spoken.end_sample,
                client_utterance_id=spoken.client_id,
            )
            self._keep(message, spoken.index)
            return
        self.fault(failed.code, spoken)
        self.missing(spoken, _MISSING.get(failed.code, MissingReason.FAILED))

    # Everything else

    def ui(self, spoken: Spoken, event: UiEventName) -> None:
        """Tell where an utterance is."""
        self.ui_of(spoken.job_id, spoken.index, event, spoken.terms.trace_id, now_ms() - spoken.cut_ms)

    def ui_of(self, job_id: str, index: int, event: UiEventName, trace_id: str, elapsed_ms: int = 0) -> None:
        """Tell where something is that may not be an utterance yet."""
        self._put(
            Outgoing((codec.encode_text(ui_fields(self.session_id, job_id, index, event, trace_id, elapsed_ms)),))
        )

    def fault(self, code: ErrorCode, spoken: Spoken) -> None:
        """Tell of a fault that passes, without an alert."""
        fields = ui_fields(
            self.session_id,
            spoken.job_id,
            spoken.index,
            UiEventName.ERROR,
            spoken.terms.trace_id,
            now_ms() - spoken.cut_ms,
        )
        fields |= {"status": UiStatus.ERROR, "error_code": code.value, "hint": CODES[code].title}
        self._put(Outgoing((codec.encode_text(fields),)))

    def error(self, code: ErrorCode, message: str) -> None:
        """Tell of something the person or the programmer must see."""
        self._metrics.errors.of("client", code).inc()
        retryable = CODES[code].retryable if self._profile.extensions else None
        self.send(Error.model_construct(code=code.value, message=message, retryable=retryable))

    def receipt(self, receipt: Receipt) -> None:
        """Tell how far the audio came."""
        self.send(
            AudioAck.model_construct(
                session_id=self.session_id,
                received=receipt.received,
                accepted=receipt.accepted,
                consumed=receipt.consumed,
                buffered_ms=receipt.buffered_ms,
                lag_ms=receipt.lag_ms,
            )
        )

    def slow_down(self, verdict: Verdict, max_rate: float) -> None:
        """Ask the client to send more slowly."""
        self.send(
            Backpressure.model_construct(
                session_id=self.session_id, reason="rate", max_rate=max_rate, retry_after_ms=verdict.pause_ms
            )
        )

    def going_away(self, reason: str, deadline_ms: int, reconnect_after_ms: int) -> None:
        """Announce that the connection will be closed, to a client that knows the word."""
        if self._profile.extensions:
            self.send(
                GoingAway.model_construct(
                    session_id=self.session_id,
                    reason=reason,
                    deadline_ms=deadline_ms,
                    reconnect_after_ms=reconnect_after_ms,
                )
            )

    def _language(self, spoken: Spoken, language: str) -> None:
        self.send(
            LanguageDetected.model_construct(
                session_id=self.session_id,
                utterance_index=spoken.index,
                language=language,
                trace_id=spoken.terms.trace_id,
            )
        )

    def _keep(self, message: Message, final_of: int | None = None) -> None:
        """Tell what must reach the client."""
        fields: dict[str, Any] = {}
        seq = self._number(fields)
        if "consumed" not in type(message).model_fields:
            fields.pop("consumed", None)
        text = codec.encode_text(message.model_copy(update=fields) if fields else message)
        self._tell(Outgoing((text,), final_of=final_of, seq=seq), text)

    def _number(self, fields: dict[str, Any]) -> int | None:
        """Number an event, where events are kept, and say how far outcomes reach with it."""
        if self.journal is None:
            return None
        fields |= {"seq": self.journal.number(), "consumed": self.mark().sample}
        return self.journal.seq

    def _tell(self, outgoing: Outgoing, lean: str) -> None:
        if outgoing.seq is not None:
            spoken = outgoing.without_speech is not None
            self._note(outgoing, Entry(lean, self._before, self.mark(), spoken, outgoing.final_of))
        self._put(outgoing)

    def _note(self, outgoing: Outgoing, entry: Entry) -> None:
        """Keep an event here and in the store."""
        self._before = entry.after
        if self.journal is not None:
            self.journal.add(outgoing)
            if self.recorder is not None:
                self.recorder.note(self.journal, entry.after, entry)

    def _put(self, outgoing: Outgoing) -> None:
        if self._line is None or (not len(self._outbox) and self._line.send(outgoing.frames)):
            return
        fits = self._outbox.put(outgoing, now_ms())
        self._count_left_out()
        if fits:
            self._line.wake()
        else:
            self._line.overflow()

    def _count_left_out(self) -> None:
        for kind, count in zip(("partial", "speech"), self._outbox.left_out(), strict=True):
            if count:
                self._metrics.outbox_dropped.of(kind).inc(count)
