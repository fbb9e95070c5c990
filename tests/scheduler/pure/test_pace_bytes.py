"""A client's bytes are read at a steady rate after a burst."""

from __future__ import annotations

from lingua_scheduler.sessions.pace_bytes import BytePace


def test_a_burst_is_read_at_once_and_then_the_rate_is_kept() -> None:
    pace = BytePace(1_000, 3_000, 0)
    assert [pace.take(1_000, 0) for _ in range(3)] == [0, 0, 0]
    assert pace.take(1_000, 0) == 1_001
    assert pace.take(0, 1_001) == 0
    assert pace.take(0, 900_000) == 0
    assert [pace.take(1_500, 900_000) for _ in range(3)] == [0, 0, 1_501]
