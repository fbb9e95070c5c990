"""Receipts: up to which sample the scheduler, a node and a result have taken responsibility (``audio_ack``).

Positions are samples of the session's audio in the order it was taken. What a node carried over to the next piece of a
turn is not consumed before that piece's result.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lingua_wire.audio import SAMPLE_RATE, ms_of_samples


@dataclass(frozen=True, slots=True)
class Receipt:
    """The figures of one ``audio_ack``, in samples; the client may forget only what lies below ``consumed``."""

    received: int
    accepted: int
    consumed: int
    buffered_ms: int
    lag_ms: int


class _Stage(IntEnum):
    HELD = 0
    ACCEPTED = 1
    CARRIED = 2
    CONSUMED = 3


class _Span:
    """One utterance's samples. Of a carried one, the part before ``carried_from`` is consumed."""

    __slots__ = ("carried_from", "end", "stage", "start", "turn_id")

    def __init__(self, start: int, end: int, turn_id: str) -> None:
        self.start = start
        self.end = end
        self.turn_id = turn_id
        self.stage = _Stage.HELD
        self.carried_from = start


class Receipts:
    """Count what happened to a session's audio.

    ``key`` is the utterance index. A span is opened once and ends once, by :meth:`consumed` or :meth:`failed`; calls
    for one that is unknown or has ended change nothing.
    """

    __slots__ = ("_interval_ms", "_last", "_last_ms", "_received", "_sample_rate", "_settled", "_spans", "_urgent_ms")

    def __init__(
        self, sample_rate: int = SAMPLE_RATE, interval_ms: int = 1_000, urgent_ms: int = 100, start: int = 0
    ) -> None:
        self._sample_rate = sample_rate
        self._interval_ms = interval_ms
        self._urgent_ms = urgent_ms
        self._received = start
        self._spans: dict[int, _Span] = {}
        self._settled = start
        self._last = Receipt(start, start, start, 0, 0)
        self._last_ms: int | None = None

    def received(self, total: int) -> None:
        """Set how many samples have been taken since the session began."""
        self._received = max(self._received, total)

    def opened(self, key: int, start: int, end: int, turn_id: str = "") -> None:
        """Note an utterance that was cut: its audio is held here until a node confirms it."""
        self._received = max(self._received, end)
        self._spans.setdefault(key, _Span(start, end, turn_id))

    def skipped(self, end: int) -> None:
        """Note that audio up to ``end`` was cut or left out: what no open span covers of it is done with."""
        self._received = max(self._received, end)
        self._settled = max(self._settled, end)

    def accepted(self, key: int) -> None:
        """Note that a node has the audio and our copy is gone."""
        span = self._spans.get(key)
        if span and span.stage is _Stage.HELD:
            span.stage = _Stage.ACCEPTED

    def reheld(self, key: int) -> None:
        """Note that the audio is held here again: the attempt is lost but our copy was still there."""
        span = self._spans.get(key)
        if span and span.stage is _Stage.ACCEPTED:
            span.stage = _Stage.HELD

    def consumed(self, key: int, carried_from: int | None = None) -> None:
        """Note a result; from ``carried_from`` on the node kept the audio for the next piece of the turn."""
        span = self._spans.get(key)
        if span is None or span.stage >= _Stage.CARRIED:
            return
        self._end_earlier(key, span, carried_from)
        if carried_from is None or carried_from >= span.end:
            self._close(key)
            return
        span.stage = _Stage.CARRIED
        span.carried_from = max(span.start, carried_from)

    def failed(self, key: int) -> int | None:
        """End an utterance that got no result; return the sample to send again from, or None for an unknown one.

        That is earlier than its own start when the lost node carried the tail of the piece before. The client takes the
        audio out of its store at once, and sends it as new audio with new positions.
        """
        span = self._spans.get(key)
        if span is None or span.stage >= _Stage.CARRIED:
            return None
        start = min([span.start, *(self._spans[other].carried_from for other in self._carried(span))])
        self._end_earlier(key, span, None)
        self._close(key)
        return start

    def carried(self) -> list[tuple[int, int, int, int, str]]:
        """List what nodes keep for later pieces: key, start, end, carried_from, turn."""
        return [
            (key, span.start, span.end, span.carried_from, span.turn_id)
            for key, span in self._spans.items()
            if span.stage is _Stage.CARRIED
        ]

    def receipt(self) -> Receipt:
        """Give the figures as they are now."""
        accepted = consumed = max(self._settled, self._end_of_spans()) if self._spans else self._settled
        for span in self._spans.values():
            consumed = min(consumed, span.carried_from if span.stage is _Stage.CARRIED else span.start)
            if span.stage is _Stage.HELD:
                accepted = min(accepted, span.start)
        return Receipt(
            received=self._received,
            accepted=accepted,
            consumed=consumed,
            buffered_ms=ms_of_samples(self._received - accepted, self._sample_rate),
            lag_ms=ms_of_samples(self._received - consumed, self._sample_rate),
        )

    def due(self, now_ms: int) -> Receipt | None:
        """Give the receipt to send now, if something changed: soon after a node or a result, else each interval."""
        receipt = self.receipt()
        due_ms = self._due_ms(receipt)
        if due_ms is None or now_ms < due_ms:
            return None
        self._last, self._last_ms = receipt, now_ms
        return receipt

    @property
    def next_due_ms(self) -> int | None:
        """Tell when :meth:`due` has something; None: nothing changed since the last one."""
        return self._due_ms(self.receipt())

    def _due_ms(self, receipt: Receipt) -> int | None:
        last = self._last
        if receipt == last:
            return None
        if self._last_ms is None:
            return 0
        urgent = (receipt.accepted, receipt.consumed) != (last.accepted, last.consumed)
        return self._last_ms + (self._urgent_ms if urgent else self._interval_ms)

    def _end_earlier(self, key: int, span: _Span, carried_from: int | None) -> None:
        """End what earlier pieces of the turn had carried, as far as this piece's result covers it."""
        for other in self._carried(span):
            if other == key:
                continue
            carried = self._spans[other]
            if carried_from is not None and carried_from < carried.end:
                carried.carried_from = max(carried.carried_from, carried_from)
            else:
                self._close(other)

    def _carried(self, span: _Span) -> list[int]:
        if not span.turn_id:
            return []
        return [
            key
            for key, other in self._spans.items()
            if other.stage is _Stage.CARRIED and other.turn_id == span.turn_id and other.start < span.start
        ]

    def _close(self, key: int) -> None:
        span = self._spans.pop(key)
        self._settled = max(self._settled, span.end)

    def _end_of_spans(self) -> int:
        return max(span.end for span in self._spans.values())
