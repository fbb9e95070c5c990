"""How fast a client may send: audio in audio time, messages in number; and how long it may be silent.

Pure: the socket asks before each read and waits as told. The first measure is always to read later, so that the
client's own socket slows it down.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from lingua_wire.codes import CloseCode


@dataclass(frozen=True, slots=True)
class FlowRules:
    """The pace a client may keep up (docs/protocol.md, Limits)."""

    #: Audio time per wall time that may be kept up, and how much may come at once.
    rate: float = 2.0
    burst_ms: int = 5_000
    #: Messages of any kind, empty ones too: 10 ms chunks at twice real time are 200 a second.
    messages_per_s: int = 300
    message_burst: int = 600
    #: Being too fast for so long: a warning, repeated at this interval, then the end.
    warn_after_ms: int = 2_000
    close_after_ms: int = 30_000
    #: Only ever read later: for base clients, which mute themselves when warned.
    only_pause: bool = False


#: Existing web pages send each frame twice after their second start: 2.03 times real time, for ever.
BASE_FLOW = FlowRules(rate=2.5, only_pause=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do before the next read: wait ``pause_ms``, send a ``backpressure`` (``warn``), or close."""

    pause_ms: int = 0
    warn: bool = False
    close: CloseCode | None = None


READ_ON = Verdict()


class _Bucket:
    """A token bucket that may go into debt; the debt is the time to wait."""

    __slots__ = ("_at_ms", "_burst", "_per_ms", "_tokens")

    def __init__(self, per_ms: float, burst: float) -> None:
        self._per_ms = per_ms
        self._burst = burst
        self._tokens = burst
        self._at_ms: int | None = None

    def refill(self, now_ms: int) -> None:
        """Earn what the time since the last call is worth."""
        at_ms = now_ms if self._at_ms is None else self._at_ms
        self._at_ms = max(at_ms, now_ms)
        earned = self._tokens + (self._at_ms - at_ms) * self._per_ms
        self._tokens = min(max(self._burst, self._tokens), earned)

    def add(self, amount: float) -> None:
        """Add to what may come at once, until it is used."""
        self._tokens += amount

    def take(self, amount: float) -> int:
        """Take ``amount``; return for how many milliseconds to wait until the debt is paid."""
        self._tokens -= amount
        return 0 if self._tokens >= 0 else int(-self._tokens / self._per_ms) + 1

    @property
    def recovered(self) -> bool:
        """Tell whether a good part of the burst is there again."""
        return self._tokens >= self._burst / 4


class Flow:
    """The pace of one client's messages."""

    __slots__ = ("_audio", "_messages", "_over_since_ms", "_rules", "_warned_ms", "paused_ms")

    def __init__(self, rules: FlowRules) -> None:
        self._rules = rules
        self._audio = _Bucket(rules.rate, rules.burst_ms)
        self._messages = _Bucket(rules.messages_per_s / 1000, rules.message_burst)
        self._over_since_ms: int | None = None
        self._warned_ms = 0
        self.paused_ms = 0

    def credit(self, audio_ms: int) -> None:
        """Let so much more audio come at once, this time: it is sent again."""
        self._audio.add(audio_ms)

    def take(self, audio_ms: float, now_ms: int) -> Verdict:
        """Count one message with ``audio_ms`` of audio (0: none), and say what to do before the next."""
        self._refill(now_ms)
        pause_ms = max(self._audio.take(audio_ms), self._messages.take(1))
        if not pause_ms:
            return READ_ON
        self.paused_ms += pause_ms
        if self._over_since_ms is None:
            self._over_since_ms = self._warned_ms = now_ms
        return self._judge(pause_ms, now_ms, now_ms - self._over_since_ms)

    def _refill(self, now_ms: int) -> None:
        self._audio.refill(now_ms)
        self._messages.refill(now_ms)
        if self._audio.recovered and self._messages.recovered:
            self._over_since_ms = None

    def _judge(self, pause_ms: int, now_ms: int, over_ms: int) -> Verdict:
        if self._rules.only_pause:
            return Verdict(pause_ms)
        if over_ms >= self._rules.close_after_ms:
            return Verdict(pause_ms, close=CloseCode.RATE)
        if now_ms - self._warned_ms < self._rules.warn_after_ms:
            return Verdict(pause_ms)
        self._warned_ms = now_ms
        return Verdict(pause_ms, warn=True)


class Idle(Enum):
    """How long a client has been silent: well, to be warned, or to be closed (4408)."""

    WELL = auto()
    WARN = auto()
    CLOSE = auto()


class IdleWatch:
    """Watch for clients that send neither audio nor heartbeats. Not used for base clients: mute sockets are kept."""

    __slots__ = ("_close_ms", "_heard_ms", "_warn_ms", "_warned")

    def __init__(self, now_ms: int, warn_ms: int = 60_000, close_ms: int = 75_000) -> None:
        self._warn_ms = warn_ms
        self._close_ms = close_ms
        self._heard_ms = now_ms
        self._warned = False

    def heard(self, now_ms: int) -> None:
        """Note audio or a heartbeat."""
        self._heard_ms = now_ms
        self._warned = False

    def check(self, now_ms: int) -> Idle:
        """Judge the silence; a warning is given once in each."""
        silent_ms = now_ms - self._heard_ms
        if silent_ms >= self._close_ms:
            return Idle.CLOSE
        if silent_ms >= self._warn_ms and not self._warned:
            self._warned = True
            return Idle.WARN
        return Idle.WELL

    @property
    def next_due_ms(self) -> int:
        """Tell when :meth:`check` has something new to say if nothing is heard."""
        return self._heard_ms + (self._close_ms if self._warned else self._warn_ms)
