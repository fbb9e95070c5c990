"""When the next piece of audio may go: in real time, or as fast as a scheduler allows. Pure: the clock comes in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Speed:
    """How many ms of audio per ms of time are sent for long, and how many ms may go ahead of that."""

    rate: float
    ahead_ms: float


class Pace(Enum):
    """The speeds on offer. ``FAST`` stays below the limit of docs/protocol.md (2x real time, 5 s ahead)."""

    REAL_TIME = Speed(rate=1.0, ahead_ms=0.0)
    FAST = Speed(rate=1.8, ahead_ms=4000.0)
    AS_IT_COMES = Speed(rate=float("inf"), ahead_ms=float("inf"))


class Pacer:
    """Tell how long to wait before each chunk so that the whole keeps its pace; a late start is not made up for."""

    def __init__(self, pace: Pace, now_ms: float) -> None:
        self._speed = pace.value
        self._due_ms = now_ms

    def wait_ms(self, audio_ms: float, now_ms: float) -> float:
        """Account for a chunk of ``audio_ms`` and give the time to wait before it is sent."""
        if self._speed.rate == float("inf"):
            return 0.0
        wait_ms = max(0.0, self._due_ms - self._speed.ahead_ms - now_ms)
        self._due_ms = max(self._due_ms, now_ms) + audio_ms / self._speed.rate
        return wait_ms


def full_jitter_ms(attempt: int, fraction: float, first_ms: float = 200.0, most_ms: float = 5000.0) -> float:
    """Give the delay before try ``attempt`` (from 1): a random part of a doubling bound; ``fraction`` is in [0, 1)."""
    return fraction * min(most_ms, first_ms * 2.0 ** (attempt - 1))
