"""What a long run is judged by: of each process its memory, descriptors and tasks, of the store its keys and memory,
and how long people wait, in windows; whether any of it grows."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What grows by more than this over the whole run is not flat.
DRIFT: Final = 0.05
#: The same for the time that people wait, of the slowest in a hundred; a shared machine is no steadier than that.
P99_DRIFT: Final = 0.10
P99_NOISE_S: Final = 0.05
#: So little is no growth: a connection more, a page of memory, a task that is just there.
LEAST: Final = {"rss_bytes": 4 << 20, "descriptors": 8.0, "tasks": 16.0, "keys": 16.0, "memory_bytes": 4 << 20}
#: A process is looked at when it lived through so many windows after its first one, in which caches fill.
LEAST_WINDOWS: Final = 4


@dataclass(slots=True)
class Window:
    """A minute of a run. ``of`` is what each process had at its end, by ``name/pid``; ``broken``: a fault was there, or
    was being got over."""

    began_s: float
    waits_s: list[float] = field(default_factory=list)
    of: dict[str, dict[str, float]] = field(default_factory=dict)
    broken: bool = False

    @property
    def p99_s(self) -> float:
        """Tell how long the slowest in a hundred waited."""
        ordered = sorted(self.waits_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Slope:
    """How a figure of a process went: by how much of its mean it grew over the run, along its straight line."""

    name: str
    figure: str
    mean: float
    grown: float

    @property
    def is_flat(self) -> bool:
        """Tell whether it grew by no more than it may."""
        return self.grown <= max(DRIFT * self.mean, LEAST[self.figure])


def slopes(windows: Sequence[Window]) -> list[Slope]:
    """Find the slope of each figure of each process that was there for long enough."""
    lives: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for window in windows:
        for name, figures in window.of.items():
            for figure, value in figures.items():
                lives.setdefault((name, figure), []).append((window.began_s, value))
    return [
        Slope(name, figure, statistics.fmean(value for _, value in points[1:]), _grown(points[1:]))
        for (name, figure), points in lives.items()
        if len(points) > LEAST_WINDOWS
    ]


def p99_drift_s(windows: Iterable[Window]) -> tuple[float, float]:
    """Compare the calm windows of the first and the last third: the median of their p99, and by how much it grew."""
    calm = [window.p99_s for window in windows if not window.broken and window.waits_s]
    third = max(1, len(calm) // 3)
    first, last = statistics.median(calm[:third]), statistics.median(calm[-third:])
    return first, last - first


def findings(windows: Sequence[Window]) -> list[str]:
    """Name what is not flat."""
    found = [
        f"{one.name}: {one.figure} grew by {one.grown:.0f}, {one.grown / one.mean:.1%} of its mean"
        for one in slopes(windows)
        if not one.is_flat
    ]
    calm = [window for window in windows if not window.broken and window.waits_s]
    if len(calm) < 2:
        return [*found, "too few minutes without a fault to compare how long people waited"]
    first_s, more_s = p99_drift_s(windows)
    if more_s > max(P99_DRIFT * first_s, P99_NOISE_S):
        found.append(
            f"the slowest in a hundred wait {more_s * 1000:.0f} ms longer in the end, {first_s * 1000:.0f} before"
        )
    return found


def table(windows: Sequence[Window]) -> str:
    """Write windows and slopes for people."""
    lines = ["minute  said  p50 ms  p99 ms  fault"]
    start_s = windows[0].began_s if windows else 0.0
    for window in windows:
        middle = statistics.median(window.waits_s) if window.waits_s else 0.0
        minute = (window.began_s - start_s) / 60
        word = "yes" if window.broken else ""
        lines.append(f"{minute:6.1f} {len(window.waits_s):5} {middle * 1000:7.0f} {window.p99_s * 1000:7.0f}  {word}")
    lines.append(f"\n{'process':28} {'figure':14} {'mean':>14} {'grew by':>12} {'of it':>7}")
    for one in sorted(slopes(windows), key=lambda one: (one.figure, one.name)):
        share = one.grown / one.mean if one.mean else 0.0
        mark = "" if one.is_flat else "  <- not flat"
        lines.append(f"{one.name:28} {one.figure:14} {one.mean:14.0f} {one.grown:12.0f} {share:7.1%}{mark}")
    return "\n".join(lines)


def report(windows: Sequence[Window], **more: Any) -> dict[str, Any]:
    """Write the same for programs."""
    kept = [
        {"began_s": one.began_s, "said": len(one.waits_s), "p99_s": one.p99_s, "broken": one.broken, "of": one.of}
        for one in windows
    ]
    found = [{"name": one.name, "figure": one.figure, "mean": one.mean, "grown": one.grown} for one in slopes(windows)]
    return {"slopes": found, "findings": findings(windows), "windows": kept} | more


def _grown(points: Sequence[tuple[float, float]]) -> float:
    times, values = [at_s for at_s, _ in points], [value for _, value in points]
    return statistics.linear_regression(times, values).slope * (times[-1] - times[0])
