"""How often a node may change what it can do: each change costs the store a look at every pair it serves. Pure."""

from __future__ import annotations

from typing import Final

_WINDOW_MS: Final = 60_000


class Changes:
    """Counts the changes of one connection; ``limit`` within a minute, given back evenly."""

    def __init__(self, limit: int, now_ms: int) -> None:
        self._limit = limit
        self._left = float(limit)
        self._at_ms = now_ms

    def allow(self, now_ms: int) -> bool:
        """Count a change; False: it is one too many, and not counted."""
        back = (now_ms - self._at_ms) * self._limit / _WINDOW_MS
        self._left = min(float(self._limit), self._left + back)
        self._at_ms = now_ms
        if self._left < 1:
            return False
        self._left -= 1
        return True
