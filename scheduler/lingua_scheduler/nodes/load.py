"""Whether a node is too busy for more work, by what it says of its machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lingua_wire.node_messages import ResourceUsage

#: The figures of ``resource_usage`` that are kept and shown.
PERCENTS: Final = ("cpu_percent", "gpu_percent", "gpu_mem_percent", "mem_percent")
COUNTS: Final = ("running_jobs", "gpu_queue_length")
MAX_COUNT: Final = 1_000_000.0


@dataclass(frozen=True, slots=True)
class LoadRules:
    """The resource threshold in percent, 0 for none.

    A node passes it in ``beats`` heartbeats in a row to be left out, and comes back when all figures are ``margin``
    below, so that one near the threshold does not go in and out.
    """

    cpu_percent: float = 95.0
    gpu_percent: float = 95.0
    gpu_mem_percent: float = 98.0
    mem_percent: float = 95.0
    margin: float = 10.0
    beats: int = 2


class LoadGate:
    """Judge one node's heartbeats."""

    __slots__ = ("_high_beats", "_rules", "overloaded")

    def __init__(self, rules: LoadRules) -> None:
        self._rules = rules
        self._high_beats = 0
        self.overloaded = False

    def judge(self, resources: dict[str, float]) -> bool:
        """Take the figures of one heartbeat (:func:`resources_of`); return whether the node is overloaded now."""
        margin = self._rules.margin if self.overloaded else 0.0
        if not passes(resources, self._rules, margin):
            self._high_beats = 0
            self.overloaded = False
        else:
            self._high_beats += 1
            self.overloaded = self.overloaded or self._high_beats >= self._rules.beats
        return self.overloaded


def passes(resources: dict[str, float], rules: LoadRules, margin: float = 0.0) -> bool:
    """Tell whether any figure is at its threshold less ``margin``, or above."""
    return any(
        limit and resources.get(name, 0.0) >= limit - margin
        for name in PERCENTS
        if (limit := float(getattr(rules, name)))
    )


def resources_of(usage: ResourceUsage) -> dict[str, float]:
    """Read the known figures, each within its range: percents 0 to 100, counts from 0."""
    read = [(name, getattr(usage, name), 100.0) for name in PERCENTS]
    read += [(name, getattr(usage, name), MAX_COUNT) for name in COUNTS]
    return {
        name: min(max(float(value), 0.0), top)
        for name, value, top in read
        if value is not None and math.isfinite(value)
    }
