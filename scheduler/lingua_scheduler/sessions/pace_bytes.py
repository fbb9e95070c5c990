"""How many bytes one client may send, whatever they are: repeats and refused messages cost work too. Pure."""

from __future__ import annotations


class BytePace:
    """Says how long not to read, so that ``rate_bytes`` a second are kept on the whole; ``burst_bytes`` at once."""

    def __init__(self, rate_bytes: int, burst_bytes: int, now_ms: int) -> None:
        self._rate_bytes = rate_bytes
        self._burst_bytes = burst_bytes
        self._left_bytes = float(burst_bytes)
        self._at_ms = now_ms

    def take(self, size_bytes: int, now_ms: int) -> int:
        """Count a message; returns for how many milliseconds nothing more is to be read."""
        back = (now_ms - self._at_ms) * self._rate_bytes / 1000
        self._left_bytes = min(float(self._burst_bytes), self._left_bytes + back) - size_bytes
        self._at_ms = now_ms
        return 0 if self._left_bytes >= 0 else int(-self._left_bytes * 1000 / self._rate_bytes) + 1
