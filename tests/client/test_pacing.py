"""The pace of sending, decided without a clock of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_client.pacing import Pace, Pacer, full_jitter_ms


def sent_at(pace: Pace, chunks: int, chunk_ms: float = 100.0) -> list[float]:
    now_ms = 0.0
    pacer = Pacer(pace, now_ms)
    times = []
    for _ in range(chunks):
        now_ms += pacer.wait_ms(chunk_ms, now_ms)
        times.append(now_ms)
    return times


def test_real_time_sends_each_chunk_when_the_one_before_is_over() -> None:
    assert sent_at(Pace.REAL_TIME, 4) == [0, 100, 200, 300]


def test_live_audio_is_never_held_back() -> None:
    assert sent_at(Pace.AS_IT_COMES, 5) == [0] * 5


def test_fast_sends_the_first_seconds_at_once_then_less_than_twice_real_time() -> None:
    times = sent_at(Pace.FAST, 400)
    assert times[:40] == [0] * 40
    for first in range(0, 400, 10):
        for last in range(first, 400, 10):
            audio_ms = (last - first + 1) * 100
            assert audio_ms <= 5000 + 2 * (times[last] - times[first]) + 3000


def test_a_stall_is_not_made_up_for_in_real_time() -> None:
    pacer = Pacer(Pace.REAL_TIME, 0.0)
    pacer.wait_ms(100, 0.0)
    assert pacer.wait_ms(100, 5000.0) == 0
    assert pacer.wait_ms(100, 5000.0) == pytest.approx(100)


@given(st.integers(1, 30), st.floats(0, 1, exclude_max=True))
def test_a_retry_waits_a_random_part_of_a_bounded_time(attempt: int, fraction: float) -> None:
    assert 0 <= full_jitter_ms(attempt, fraction) <= 5000
