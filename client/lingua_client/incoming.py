"""From the service's messages to the user's events: one function per message type; second outcomes are dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lingua_client import events
from lingua_client.position import Position
from lingua_client.speech import to_pcm16
from lingua_wire import session_messages as wire
from lingua_wire.audio import decode_base64

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_client.ledger import Ledger
    from lingua_client.outgoing import Outgoing
    from lingua_client.ring import Ring
    from lingua_wire.fields import Message
    from lingua_wire.frames import Frame

#: Cuts that are remembered, to know where an utterance lies in the audio that was sent.
_REMEMBERED_CUTS = 64
#: The service gives indices to what it cuts; so many may be given that this client has not heard of yet.
_UNHEARD = 16
#: How often the audio of one utterance is sent again: what fails each time would be sent for ever.
_RESENDS = 3


@dataclass(slots=True)
class Incoming:
    """Read messages in their order."""

    ledger: Ledger
    ring: Ring
    outgoing: Outgoing
    position: Position = field(default_factory=Position)
    last_error: tuple[str, str] | None = None
    _highest: int = 0
    _origins: dict[int, int] = field(default_factory=dict)
    _told_cuts: set[int] = field(default_factory=set)
    _cuts: dict[int, wire.UtteranceFinalized] = field(default_factory=dict)
    _spoken: dict[int, tuple[wire.TranslationResult, bytearray]] = field(default_factory=dict)

    def message(self, message: Message) -> list[events.Event]:
        """Give the events that a message makes; most make one or none."""
        if not self.position.is_new(getattr(message, "seq", None)):
            return []
        self._highest = max(self._highest, getattr(message, "utterance_index", None) or 0)
        reader = _READERS.get(type(message))
        told = reader(self, message) if reader else []
        if not (isinstance(message, wire.TranslationResult) and message.audio_follows):
            self._saw(message)
        return told

    def goes_on_at(self, utterance_index: int) -> None:
        """Go on after a resume: what was cut from this index on will be cut again."""
        self._highest = max(self._highest, utterance_index)
        self._cuts = {index: cut for index, cut in self._cuts.items() if index < utterance_index}
        self._spoken.clear()

    def failed(self, message: wire.UtteranceFailed) -> None:
        """Note a failure that was acted on."""
        self._saw(message)

    def _saw(self, message: Message) -> None:
        is_outcome = isinstance(message, wire.TranslationResult | wire.MissingResult | wire.UtteranceFailed)
        index = getattr(message, "utterance_index", None) if is_outcome else None
        self.position.saw(getattr(message, "seq", None), getattr(message, "consumed", None), index)
        self.outgoing.done_below(self.position.sample)

    def frame(self, frame: Frame) -> list[events.Event]:
        """Take speech that a result announced; the result is given with its last frame."""
        waiting = self._spoken.get(frame.index)
        if waiting is None:
            return []
        result, speech = waiting
        speech += frame.audio
        if not frame.last:
            return []
        del self._spoken[frame.index]
        told = self._result(result, bytes(speech))
        self._saw(result)
        return told

    def audio_of(self, failed: wire.UtteranceFailed) -> bytes | None:
        """Give the audio the service asks for again; None: it does not ask, asks too often, or it is no longer held."""
        if list(self._origins.values()).count(self.origin(failed.utterance_index)) >= _RESENDS:
            return None
        cut = self._cuts.get(failed.utterance_index)
        end = failed.resend_to_sample or (cut.end_ms * 16 if cut else None)
        if not failed.retryable or failed.resend_from_sample is None or end is None:
            return None
        return self.ring.read(failed.resend_from_sample, min(end, self.ring.end)) or None

    def origin(self, utterance_index: int) -> int:
        """Give the index under which the user knows an utterance that may have been sent again."""
        return self._origins.get(utterance_index, utterance_index)

    def index_for_again(self, utterance_index: int) -> int:
        """Choose a free index for an utterance that is sent again; its outcome will be told under the first one."""
        self._highest = max(self._highest, utterance_index) + _UNHEARD
        self._origins[self._highest] = self.origin(utterance_index)
        return self._highest

    def _result(self, message: wire.TranslationResult, speech: bytes) -> list[events.Event]:
        origin = self.origin(message.utterance_index)
        if not self.ledger.ended(origin):
            return []
        pcm, rate = to_pcm16(speech, message.tts_format, message.tts_sample_rate)
        extra = message.extra or {}
        return [
            events.Result(
                utterance_index=origin,
                text=message.text_asr,
                translation=message.text_translated,
                speech=pcm,
                sample_rate=rate,
                timings=_timings(message),
                node_id=_word(extra, "node_id"),
                job_id=message.job_id,
                trace_id=message.trace_id,
                source=message.src_lang or _word(extra, "detected_language"),
                target=message.tgt_lang or "",
                waited_ms=self._waited_ms(message.utterance_index),
            )
        ]

    def _waited_ms(self, utterance_index: int) -> float:
        cut = self._cuts.get(utterance_index)
        return self.outgoing.sent_age_ms(cut.end_ms * 16 if cut else self.ring.end)

    def _on_result(self, message: wire.TranslationResult) -> list[events.Event]:
        if message.audio_follows:
            self._spoken[message.utterance_index] = (message, bytearray())
            return []
        return self._result(message, decode_base64(message.tts_audio or ""))

    def _on_partial(self, message: wire.AsrPartial) -> list[events.Event]:
        stable, tentative = message.stable or "", message.tentative or ""
        return [events.Partial(self.origin(message.utterance_index), message.text, stable, tentative, message.job_id)]

    def _on_missing(self, message: wire.MissingResult) -> list[events.Event]:
        origin = self.origin(message.utterance_index)
        return [events.Missing(origin, message.reason)] if self.ledger.ended(origin) else []

    def _on_finalized(self, message: wire.UtteranceFinalized) -> list[events.Event]:
        self._cuts[message.utterance_index] = message
        if len(self._cuts) > _REMEMBERED_CUTS:
            del self._cuts[next(iter(self._cuts))]
        if message.utterance_index in self._origins:
            return []
        if not message.continues:
            self.outgoing.cut_at(message.end_ms * 16)
        self.ledger.finalized(message.utterance_index, message.client_utterance_id)
        if message.utterance_index in self._told_cuts:
            return []
        self._told_cuts.add(message.utterance_index)
        span = (message.start_ms, message.end_ms, message.continues)
        return [events.Finalized(message.utterance_index, message.reason.value, *span, job_id=message.job_id or "")]

    def _on_skipped(self, message: wire.UtteranceSkipped) -> list[events.Event]:
        self.ledger.skipped(message.client_utterance_id)
        return [events.Skipped(message.reason.value)]

    def _on_error(self, message: wire.Error) -> list[events.Event]:
        self.last_error = (message.code, message.message)
        return [events.Notice(message.code, message.message)]

    def _on_ui_event(self, message: wire.UiEvent) -> list[events.Event]:
        if message.status is not wire.UiStatus.ERROR:
            return []
        return [events.Notice(message.error_code or "INTERNAL_ERROR", message.hint or "a job met a fault")]

    def _on_backpressure(self, message: wire.Backpressure) -> list[events.Event]:
        return [events.Backpressure(message.reason, message.retry_after_ms or 0)]

    def _on_going_away(self, message: wire.GoingAway) -> list[events.Event]:
        return [events.GoingAway(message.reason, message.deadline_ms, message.reconnect_after_ms)]

    def _on_language(self, message: wire.LanguageDetected) -> list[events.Event]:
        return [events.LanguageDetected(self.origin(message.utterance_index), message.language)]

    def _on_audio_ack(self, message: wire.AudioAck) -> list[events.Event]:
        self.outgoing.received, self.outgoing.consumed = message.received, message.consumed
        self.position.saw(None, message.consumed)
        self.outgoing.done_below(message.consumed)
        self.ring.drop_below(message.consumed)
        return []


_READERS: dict[type, Callable[[Incoming, Any], list[events.Event]]] = {
    wire.TranslationResult: Incoming._on_result,
    wire.AsrPartial: Incoming._on_partial,
    wire.MissingResult: Incoming._on_missing,
    wire.UtteranceFinalized: Incoming._on_finalized,
    wire.UtteranceSkipped: Incoming._on_skipped,
    wire.Error: Incoming._on_error,
    wire.UiEvent: Incoming._on_ui_event,
    wire.Backpressure: Incoming._on_backpressure,
    wire.GoingAway: Incoming._on_going_away,
    wire.LanguageDetected: Incoming._on_language,
    wire.AudioAck: Incoming._on_audio_ack,
}


def _timings(message: wire.TranslationResult) -> events.Timings:
    """Take the stages' times from their field, or from ``extra``, where some nodes put them."""
    if message.service_timings is not None:
        told: dict[str, Any] = message.service_timings.model_dump()
    else:
        extra = message.extra or {}
        told = extra["service_timings"] if isinstance(extra.get("service_timings"), dict) else {}
    return events.Timings(*(_number(told.get(stage)) for stage in ("asr_ms", "nmt_ms", "tts_ms", "total_ms")))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _word(extra: dict[str, Any], name: str) -> str:
    value = extra.get(name)
    return value if isinstance(value, str) else ""
