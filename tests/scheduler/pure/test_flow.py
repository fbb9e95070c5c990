"""The pace of clients, formats that give themselves away, and silence."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_scheduler.sessions.flow import BASE_FLOW, READ_ON, Flow, FlowRules, Idle, IdleWatch, Verdict
from lingua_scheduler.sessions.pace import PaceWatch
from lingua_wire.codes import CloseCode


def send(flow: Flow, *, chunk_ms: float, every_ms: float, seconds: float) -> list[tuple[int, Verdict]]:
    """Send chunks at a pace; the socket is read only after each pause, so the next chunk is seen later."""
    seen: list[tuple[int, Verdict]] = []
    free_ms, at_ms = 0.0, 0.0
    while at_ms < seconds * 1_000:
        now_ms = int(max(at_ms, free_ms))
        verdict = flow.take(chunk_ms, now_ms)
        seen.append((now_ms, verdict))
        if verdict.close:
            break
        free_ms = now_ms + verdict.pause_ms
        at_ms += every_ms
    return seen


def closed_at(seen: list[tuple[int, Verdict]]) -> int | None:
    return next((now_ms for now_ms, verdict in seen if verdict.close), None)


@pytest.mark.parametrize("chunk_ms", [10, 20, 100, 1_000])
def test_twice_real_time_passes_for_ever(chunk_ms: int) -> None:
    seen = send(Flow(FlowRules()), chunk_ms=chunk_ms, every_ms=chunk_ms / 2, seconds=120)
    assert {verdict for _, verdict in seen} == {READ_ON}


def test_a_burst_of_five_seconds_passes_at_once() -> None:
    flow = Flow(FlowRules())
    assert [flow.take(1_000, 0) for _ in range(5)] == [READ_ON] * 5
    assert flow.take(1_000, 0).pause_ms >= 500


def test_a_flood_is_first_read_later_then_warned_then_closed_after_30_s() -> None:
    seen = send(Flow(FlowRules()), chunk_ms=100, every_ms=10, seconds=60)
    began_ms = next(now_ms for now_ms, verdict in seen if verdict.pause_ms)
    warned_ms = [now_ms for now_ms, verdict in seen if verdict.warn]
    closed_ms = closed_at(seen)
    assert closed_ms is not None
    assert 2_000 <= warned_ms[0] - began_ms <= 2_200
    assert len(warned_ms) < 20
    assert 30_000 <= closed_ms - began_ms <= 30_200
    assert seen[-1][1].close is CloseCode.RATE


def test_base_clients_are_only_read_later() -> None:
    seen = send(Flow(BASE_FLOW), chunk_ms=256, every_ms=50, seconds=90)
    assert any(verdict.pause_ms for _, verdict in seen)
    assert not any(verdict.warn or verdict.close for _, verdict in seen)


def test_the_doubled_frames_of_a_web_page_pass_without_a_pause() -> None:
    seen = send(Flow(BASE_FLOW), chunk_ms=256, every_ms=256 / 2.03, seconds=120)
    assert {verdict for _, verdict in seen} == {READ_ON}


def test_a_client_that_slows_down_is_forgiven() -> None:
    flow = Flow(FlowRules())
    for _ in range(12):
        flow.take(1_000, 0)
    assert flow.take(100, 20_000) is READ_ON
    for _ in range(8):
        flow.take(1_000, 40_000)
    assert flow.take(1_000, 40_000).close is None


def test_messages_without_audio_are_bounded_too() -> None:
    flow = Flow(FlowRules())
    pauses = [flow.take(0, 0).pause_ms for _ in range(1_000)]
    assert pauses[:600] == [0] * 600
    assert pauses[-1] > 1_000


def test_a_clock_that_stands_still_or_goes_back_earns_nothing() -> None:
    flow = Flow(FlowRules())
    for now_ms in (10_000, 5_000, 10_000):
        flow.take(2_000, now_ms)
    assert flow.take(2_000, 5_000).pause_ms > 0


def test_a_clock_that_goes_back_costs_nothing() -> None:
    flow = Flow(FlowRules())
    flow.take(100, 60_000)
    assert flow.take(100, 1_000) is READ_ON


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 3_000)), min_size=1, max_size=100))
def test_no_window_lets_more_pass_than_rate_and_burst(arrivals: list[tuple[int, int]]) -> None:
    rules, passed, free_ms, at_ms = FlowRules(), [], 0, 0
    flow = Flow(rules)
    for audio_ms, wait_ms in arrivals:
        at_ms += wait_ms
        now_ms = max(at_ms, free_ms)
        free_ms = now_ms + flow.take(audio_ms, now_ms).pause_ms
        passed.append((now_ms, audio_ms))
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            window_ms = passed[last][0] - passed[first][0]
            total_ms = sum(audio_ms for _, audio_ms in passed[first : last + 1])
            assert total_ms <= rules.burst_ms + rules.rate * window_ms + 1_000


def watch(ratio: float, *, jitter_ms: float = 15, seconds: float = 12, chunk_ms: float = 100) -> list[int]:
    source, pace, at_ms, found = random.Random(7), PaceWatch(16_000), 0.0, []
    while at_ms < seconds * 1_000:
        rate = pace.arrived(chunk_ms, int(at_ms + source.uniform(0, jitter_ms)))
        found += [rate] if rate else []
        at_ms += chunk_ms / ratio
    return found


@pytest.mark.parametrize(("ratio", "rate"), [(2.75625, 44_100), (3.0, 48_000)])
@pytest.mark.parametrize("chunk_ms", [20, 100, 256])
def test_samples_of_a_higher_rate_are_suspected_once(ratio: float, rate: int, chunk_ms: float) -> None:
    assert watch(ratio, chunk_ms=chunk_ms) == [rate]


def test_the_suspicion_comes_before_the_rate_limit_hides_the_pace() -> None:
    flow, pace, at_ms = Flow(FlowRules()), PaceWatch(16_000), 0.0
    while pace.arrived(100, int(at_ms)) is None:
        assert flow.take(100, int(at_ms)) is READ_ON
        at_ms += 100 / 2.75625
    assert at_ms < 6_600


@pytest.mark.parametrize("ratio", [2.75625, 3.0])
def test_a_dozen_seconds_sent_at_that_pace_are_a_burst_and_not_suspected(ratio: float) -> None:
    assert watch(ratio, seconds=12 / ratio) == []


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.5, 2.0, 2.03, 2.3, 2.5, 4.0, 10.0])
def test_other_paces_are_not_suspected(ratio: float) -> None:
    assert watch(ratio) == []


def test_an_uneven_flood_is_not_suspected() -> None:
    source, pace, at_ms = random.Random(3), PaceWatch(16_000), 0.0
    for _ in range(600):
        at_ms += source.choice([1, 2, 5, 60, 150])
        assert pace.arrived(100, int(at_ms)) is None


def test_a_pace_that_we_set_by_pausing_says_nothing() -> None:
    pace, at_ms = PaceWatch(16_000), 0.0
    for number in range(400):
        assert pace.arrived(100, int(at_ms), paused=number % 20 == 0) is None
        at_ms += 100 / 2.75625


def test_silence_is_warned_of_once_and_then_closed() -> None:
    idle = IdleWatch(0)
    assert idle.check(59_999) is Idle.WELL
    assert idle.next_due_ms == 60_000
    assert idle.check(60_000) is Idle.WARN
    assert idle.check(60_001) is Idle.WELL
    assert idle.next_due_ms == 75_000
    assert idle.check(75_000) is Idle.CLOSE


def test_a_heartbeat_ends_the_silence() -> None:
    idle = IdleWatch(0)
    idle.check(60_000)
    idle.heard(61_000)
    assert idle.check(120_999) is Idle.WELL
    assert idle.check(121_000) is Idle.WARN
