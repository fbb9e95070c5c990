"""A node may change what it can do now and then, not all the time."""

from __future__ import annotations

from lingua_scheduler.nodes.changes import Changes


def test_a_burst_is_allowed_and_then_the_even_rate() -> None:
    changes = Changes(6, 0)
    assert [changes.allow(0) for _ in range(8)] == [True] * 6 + [False] * 2
    assert [changes.allow(at) for at in (9_000, 10_000, 10_001, 20_000)] == [False, True, False, True]


def test_after_a_quiet_time_no_more_than_the_burst_is_there() -> None:
    changes = Changes(3, 0)
    assert [changes.allow(600_000) for _ in range(4)] == [True, True, True, False]
