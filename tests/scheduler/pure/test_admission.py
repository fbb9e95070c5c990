"""Sessions begin at a bounded pace, and who is refused is told a moment of its own."""

from __future__ import annotations

from collections import Counter

from lingua_scheduler.admission import LATE_S, LONGEST_S, Admission

NOW_S = 50.0


def test_as_many_as_a_second_allows_come_in_at_once_and_then_at_that_pace() -> None:
    admission = Admission(100)
    assert sum(admission.ask(NOW_S) is None for _ in range(1_000)) in (100, 101)
    let_in = sum(admission.ask(NOW_S + tick / 1000) is None for tick in range(1, 2_001))
    assert 195 <= let_in <= 205


def test_who_is_refused_is_told_to_come_behind_those_who_were_refused_before() -> None:
    admission = Admission(100)
    told = [wait for _ in range(600) if (wait := admission.ask(NOW_S)) is not None]
    assert told == sorted(told)
    per_second = Counter(told)
    assert set(per_second) == set(range(1, 6))
    assert all(90 <= per_second[second] <= 110 for second in range(1, 5)), per_second


def test_a_storm_is_over_after_as_long_as_its_size_needs() -> None:
    admission = Admission(250)
    due_s = [NOW_S] * 2_500
    now_s = NOW_S
    for _ in range(1_000):
        waits = [(admission.ask(at), at) for at in sorted(at for at in due_s if at <= now_s)]
        due_s = [at for at in due_s if at > now_s] + [now_s + wait for wait, _ in waits if wait is not None]
        if not due_s:
            break
        now_s = min(due_s)
    assert not due_s
    assert now_s - NOW_S <= 2_500 / 250 + 2


def test_nobody_is_sent_away_for_long() -> None:
    admission = Admission(1)
    waits = [wait for _ in range(500) if (wait := admission.ask(NOW_S)) is not None]
    assert max(waits) == LONGEST_S
    assert set(waits) == set(range(2, LONGEST_S + 1))


def test_fewer_come_in_while_this_process_is_late_and_as_many_as_before_soon_after() -> None:
    admission = Admission(100)
    for _ in range(10):
        admission.look(LATE_S * 2)
    assert sum(admission.ask(NOW_S) is None for _ in range(1_000)) in (20, 21)
    for _ in range(10):
        admission.look(0.0)
    assert sum(admission.ask(NOW_S + 60) is None for _ in range(1_000)) in (100, 101)
