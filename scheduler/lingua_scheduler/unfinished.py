"""What comes over a socket and is no message: fragments without end, control frames without number. Pure.

The web server bounds the bytes of one message, but not how many empty fragments it comes in, nor how long it takes.
"""

from __future__ import annotations

from typing import Final

#: What a masked frame without content weighs.
HEAD_BYTES: Final = 6


class Unfinished:
    """Judge what arrived while a message was awaited: at most ``limit_bytes``, within ``limit_s``."""

    __slots__ = ("_bytes", "_limit_bytes", "_limit_s", "_since_s")

    def __init__(self, limit_bytes: int, limit_s: float) -> None:
        self._limit_bytes = limit_bytes
        self._limit_s = limit_s
        self._bytes = 0
        self._since_s = 0.0

    def arrived(self, size_bytes: int, now_s: float) -> bool:
        """Count what arrived; True: it is more, or takes longer, than any message may."""
        if not self._bytes:
            self._since_s = now_s
        self._bytes += size_bytes
        return self._bytes > self._limit_bytes or now_s - self._since_s > self._limit_s

    def message(self) -> None:
        """Note that a message came whole."""
        self._bytes = 0

    def control(self, size_bytes: int) -> None:
        """Note that a control frame with so much content was a part of it: only the rest may be a beginning."""
        self._bytes = max(0, self._bytes - HEAD_BYTES - size_bytes)
