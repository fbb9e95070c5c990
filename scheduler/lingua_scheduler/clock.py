"""The clock of decisions: monotonic whole milliseconds of this process. Never compared with another process's."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Read the clock."""
    return time.monotonic_ns() // 1_000_000


def unix_ms() -> int:
    """Read the calendar, for what people and peers are shown."""
    return time.time_ns() // 1_000_000
