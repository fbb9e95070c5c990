"""Whether people wait longer while somebody does harm: phases without and with it, one after the other, in one run.

Another process of the machine may take it for seconds. That hits one phase or the other by chance, while harm shows in
every phase with the fault. So each round (one phase of each kind) is judged by itself, and the median of the rounds
counts; more rounds are made while it is not yet well. With a hundred answers a phase the 99th percentile is its second
longest: some milliseconds of scheduling are in it, which the floor allows for.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kit.crowd import Crowd

#: How much longer people may wait while others do harm (the goal), and what is no difference on a busy machine.
FACTOR = 1.2
FLOOR_S = 0.05
_LEAST, _MOST = 3, 9
_FEWEST = 20


@dataclass(frozen=True, slots=True)
class Round:
    """The 99th percentiles of one round, in seconds."""

    calm_s: float
    struck_s: float

    @property
    def excess_s(self) -> float:
        """Tell how much more the wait was than it may be; below 0: it was not."""
        return self.struck_s - (FACTOR * self.calm_s + FLOOR_S)


async def unharmed(
    talking: Crowd, begin: Callable[[], Awaitable[Any]], stop: Callable[[], Awaitable[Any]], phase_s: float = 4.0
) -> dict[str, Any]:
    """Compare; fail when people were harmed. Gives the figures for the report."""
    rounds: list[Round] = []
    while len(rounds) < _LEAST or (_median_excess_s(rounds) > 0 and len(rounds) < _MOST):
        calm_s = await _p99_s(talking, phase_s)
        await begin()
        try:
            struck_s = await _p99_s(talking, phase_s)
        finally:
            await stop()
        rounds.append(Round(calm_s, struck_s))
    assert _median_excess_s(rounds) <= 0, f"others waited longer: {rounds}"
    calm_ms, struck_ms = (
        round(1000 * statistics.median(getattr(each, name) for each in rounds)) for name in ("calm_s", "struck_s")
    )
    return {"p99_calm_ms": calm_ms, "p99_struck_ms": struck_ms, "rounds": len(rounds)}


def _median_excess_s(rounds: list[Round]) -> float:
    return statistics.median(each.excess_s for each in rounds)


async def _p99_s(talking: Crowd, phase_s: float) -> float:
    """Let people talk for a phase; tell how long all but one in a hundred waited, who got no answer yet included."""
    began_s = time.monotonic()
    await asyncio.sleep(phase_s)
    end_s = time.monotonic()
    waits_s = sorted(
        (spoken.answers[0] if spoken.answers else end_s) - spoken.said_s
        for spoken in talking.spoken
        if not spoken.answers or began_s <= spoken.answers[0] < end_s
    )
    assert len(waits_s) >= _FEWEST, f"{len(waits_s)} answers are too few to tell anything"
    return waits_s[min(len(waits_s) - 1, len(waits_s) * 99 // 100)]
