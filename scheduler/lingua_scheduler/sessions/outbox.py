"""What waits to be sent to one client, bounded: partials merge, old speech is left out, text and order stay."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

Frame = str | bytes


@dataclass(frozen=True, slots=True)
class OutboxRules:
    """How much may wait for a client that does not read.

    A client counts as not reading when nothing was taken for ``stalled_ms`` though something waited; a short burst of
    results may exceed the bounds until then, by ``burst`` times at most.
    """

    max_events: int = 256
    max_bytes: int = 2 * 1024 * 1024
    stalled_ms: int = 1_000
    burst: int = 4
    #: Speech that waited longer is no use in a live talk; its text is still sent.
    speech_ms: int = 15_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event, as the frames that carry it.

    ``partial_of``: the utterance it is a partial of; the next partial of that utterance takes its place.
    ``final_of``: the utterance it ends; waiting partials of that utterance are left out.
    ``without_speech``: the same event with its text alone, if it carries speech.
    ``seq``: its number, if it is kept until the client has it.
    """

    frames: tuple[Frame, ...]
    partial_of: int | None = None
    final_of: int | None = None
    without_speech: tuple[Frame, ...] | None = None
    seq: int | None = None

    @property
    def size_bytes(self) -> int:
        """Count what it weighs: characters stand for bytes."""
        return sum(map(len, self.frames))


@dataclass(frozen=True, slots=True)
class _Waiting:
    event: Outgoing
    since_ms: int


class Outbox:
    """A queue of events for one client. ``merged`` and ``speech_dropped`` count what was left out."""

    __slots__ = (
        "_bytes",
        "_last_taken_ms",
        "_next",
        "_partials",
        "_rules",
        "_told",
        "_waiting",
        "merged",
        "speech_dropped",
    )

    def __init__(self, rules: OutboxRules | None = None) -> None:
        self._rules = rules or OutboxRules()
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()
        self._partials: dict[int, int] = {}
        self._next = 0
        self._bytes = 0
        self._last_taken_ms = 0
        self.merged = 0
        self.speech_dropped = 0
        self._told = (0, 0)

    def __len__(self) -> int:
        """Count the events that wait."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Count the bytes that wait."""
        return self._bytes

    def put(self, event: Outgoing, now_ms: int) -> bool:
        """Queue an event; False: the client does not read and the bounds are passed, so close it (1013)."""
        if not self._waiting:
            self._last_taken_ms = now_ms
        if event.partial_of is not None and event.partial_of in self._partials:
            self._replace(self._partials[event.partial_of], _Waiting(event, now_ms))
            self.merged += 1
        else:
            self._add(event, now_ms)
        return self._fits(now_ms) or self._make_room(now_ms)

    def take(self, now_ms: int) -> Outgoing | None:
        """Take the oldest event, without its speech if that waited too long; None: nothing waits."""
        if not self._waiting:
            return None
        key = next(iter(self._waiting))
        if self._is_stale(self._waiting[key], now_ms):
            self._drop_speech(key)
        self._last_taken_ms = now_ms
        return self._remove(key).event

    def left_out(self) -> tuple[int, int]:
        """Tell how many partials and speeches were left out since the last call."""
        partials, speeches = self.merged - self._told[0], self.speech_dropped - self._told[1]
        self._told = (self.merged, self.speech_dropped)
        return partials, speeches

    def _add(self, event: Outgoing, now_ms: int) -> None:
        if event.final_of is not None and event.final_of in self._partials:
            self._remove(self._partials[event.final_of])
            self.merged += 1
        key, self._next = self._next, self._next + 1
        self._waiting[key] = _Waiting(event, now_ms)
        self._bytes += event.size_bytes
        if event.partial_of is not None:
            self._partials[event.partial_of] = key

    def _replace(self, key: int, waiting: _Waiting) -> None:
        self._bytes += waiting.event.size_bytes - self._waiting[key].event.size_bytes
        self._waiting[key] = waiting

    def _remove(self, key: int) -> _Waiting:
        waiting = self._waiting.pop(key)
        self._bytes -= waiting.event.size_bytes
        if waiting.event.partial_of is not None:
            del self._partials[waiting.event.partial_of]
        return waiting

    def _fits(self, now_ms: int) -> bool:
        """Tell whether what waits is within the bounds, which are wider while the client reads. One event always is."""
        reading = now_ms - self._last_taken_ms < self._rules.stalled_ms
        factor = self._rules.burst if reading else 1
        fits = len(self._waiting) <= self._rules.max_events * factor and self._bytes <= self._rules.max_bytes * factor
        return fits or len(self._waiting) == 1

    def _make_room(self, now_ms: int) -> bool:
        """Leave out what is least missed: speech that waited too long, then all partials."""
        for key, waiting in list(self._waiting.items()):
            if self._is_stale(waiting, now_ms):
                self._drop_speech(key)
        if not self._fits(now_ms):
            self.merged += len(self._partials)
            for key in list(self._partials.values()):
                self._remove(key)
        return self._fits(now_ms)

    def _is_stale(self, waiting: _Waiting, now_ms: int) -> bool:
        return waiting.event.without_speech is not None and now_ms - waiting.since_ms > self._rules.speech_ms

    def _drop_speech(self, key: int) -> None:
        waiting = self._waiting[key]
        event = waiting.event
        lean = Outgoing(event.without_speech or (), final_of=event.final_of, seq=event.seq)
        self._replace(key, _Waiting(lean, waiting.since_ms))
        self.speech_dropped += 1
