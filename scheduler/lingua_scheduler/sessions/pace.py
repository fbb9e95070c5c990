"""Format suspicion: samples of another rate than was said arrive at a pace that gives them away.

44.1 kHz samples called 16 kHz arrive at 2.76 times real time, 48 kHz ones at 3 times, and steadily so, since a
microphone sets the pace. A flood comes faster or unevenly, and doubled frames at 2.03 times.
"""

from __future__ import annotations

from typing import Final

#: What sound cards run at besides the rates of the protocol.
COMMON_RATES: Final = (22_050, 24_000, 32_000, 44_100, 48_000)
#: A slower pace may be a client that catches up.
MIN_RATIO: Final = 2.2
TOLERANCE: Final = 0.025
WINDOW_MS: Final = 1_500
#: So many windows in a row must agree: who sends a dozen seconds at once, at whatever pace, is not suspected. A client
#: that goes on faster than allowed is paused soon after, and then its pace says nothing.
WINDOWS: Final = 3


class PaceWatch:
    """Measure the pace at which samples arrive, in windows of time."""

    __slots__ = ("_agreeing", "_audio_ms", "_began_ms", "_rest_until_ms", "_sample_rate", "_suspected")

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._began_ms: int | None = None
        self._audio_ms = 0.0
        self._agreeing = 0
        self._rest_until_ms = 0
        self._suspected: int | None = None

    def arrived(self, audio_ms: float, now_ms: int, *, paused: bool = False) -> int | None:
        """Take one chunk; return the true sample rate to suspect, once, when it shows.

        ``paused``: the socket was not read for a while before, so the pace is ours and says nothing.
        """
        if paused or self._began_ms is None or now_ms < self._rest_until_ms:
            self._begin(now_ms)
            self._suspected = None
            return None
        self._audio_ms += audio_ms
        elapsed_ms = now_ms - self._began_ms
        if elapsed_ms < WINDOW_MS:
            return None
        rate = self._rate_of(self._audio_ms / elapsed_ms)
        self._begin(now_ms)
        return self._agree(rate)

    def rest(self, until_ms: int) -> None:
        """Look away until then: audio that is sent again comes at no pace of its own."""
        self._rest_until_ms = until_ms
        self._began_ms = None
        self._suspected = None

    def _begin(self, now_ms: int) -> None:
        self._began_ms = now_ms
        self._audio_ms = 0.0

    def _rate_of(self, ratio: float) -> int | None:
        for rate in COMMON_RATES:
            expected = rate / self._sample_rate
            if expected >= MIN_RATIO and abs(ratio - expected) <= expected * TOLERANCE:
                return rate
        return None

    def _agree(self, rate: int | None) -> int | None:
        self._agreeing = self._agreeing + 1 if rate is not None and rate == self._suspected else 1
        self._suspected = rate
        return rate if rate is not None and self._agreeing == WINDOWS else None
