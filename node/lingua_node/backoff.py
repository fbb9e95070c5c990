"""Wait before connecting again: doubling, with full jitter, so that a thousand nodes do not come back at once. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Give the waits of one run of failures; ``reset`` after a success."""

    max_s: float
    first_s: float = 0.5
    chance: random.Random = field(default_factory=random.Random)
    _failures: int = 0

    def next_s(self) -> float:
        """Choose the next wait: anything from nothing to the doubled limit."""
        limit = min(self.max_s, self.first_s * 2 ** min(self._failures, 30))
        self._failures += 1
        return self.chance.uniform(0, limit)

    def reset(self) -> None:
        """Begin small again."""
        self._failures = 0
