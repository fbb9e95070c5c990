from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingua_node.aggregators.audio import (
    CUT_FROM_SAMPLES,
    CUT_TO_SAMPLES,
    AudioAggregator,
    Cut,
    JobAudio,
    TurnKey,
    quietest_sample,
)

KEY = TurnKey("session", "turn", "es")
SECOND = 16_000


def noise(samples: int, seed: int = 1, level: int = 3000) -> bytes:
    return np.random.default_rng(seed).normal(0, level, samples).astype(np.int16).tobytes()


lengths = st.integers(min_value=0, max_value=22 * SECOND)
turns = st.lists(lengths, min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(turns, st.integers(0, 2**32 - 1), st.integers(0, 10**9))
def test_the_pieces_of_a_turn_join_to_the_input_exactly(parts: list[int], seed: int, start: int) -> None:
    aggregator = AudioAggregator()
    audio = noise(sum(parts), seed)
    cuts, at = [], 0
    for number, samples in enumerate(parts):
        job = JobAudio(str(number), audio[at * 2 : (at + samples) * 2], number < len(parts) - 1, start + at)
        cuts.append(aggregator.add(KEY, job, 0.0))
        at += samples
    pieces = [piece for cut in cuts for piece in cut.pieces]
    assert b"".join(piece.pcm for piece in pieces) == audio
    edges = [(piece.start_sample, piece.end_sample) for piece in pieces]
    assert all(end == next_start for (_, end), (next_start, _) in itertools.pairwise(edges))
    assert cuts[-1].carried_from is None
    assert cuts[-1].covered[1] == start + sum(parts)
    assert aggregator.pending_bytes == 0


@settings(max_examples=60, deadline=None)
@given(lengths, lengths, st.integers(0, 2**32 - 1))
def test_a_long_utterance_is_cut_in_range_and_little_stays_behind(first: int, second: int, seed: int) -> None:
    aggregator = AudioAggregator()
    for number, samples in enumerate((first, second)):
        cut = aggregator.add(KEY, JobAudio(str(number), noise(samples, seed + number), True), 0.0)
        sizes = [piece.end_sample - piece.start_sample for piece in cut.pieces]
        assert all(CUT_FROM_SAMPLES <= size < CUT_TO_SAMPLES for size in sizes)
        assert aggregator.pending_bytes // 2 < CUT_TO_SAMPLES


@given(st.integers(CUT_FROM_SAMPLES + 1600, CUT_TO_SAMPLES - 1600))
def test_the_cut_falls_into_the_pause(at: int) -> None:
    samples = np.frombuffer(noise(10 * SECOND), np.int16).copy()
    samples[at - 800 : at + 800] = 0
    assert abs(quietest_sample(samples.tobytes()) - at) <= 160


@pytest.mark.parametrize("seconds", [5.01, 5.05, 5.2, 7.9, 8.0, 30.0])
def test_the_cut_is_in_range_for_every_length(seconds: float) -> None:
    samples = int(seconds * SECOND)
    assert CUT_FROM_SAMPLES <= quietest_sample(noise(samples)) < min(samples, CUT_TO_SAMPLES)


def test_the_end_of_a_turn_is_processed_with_what_is_pending() -> None:
    aggregator = AudioAggregator()
    first = aggregator.add(KEY, JobAudio("1", noise(10 * SECOND), True, 0), 0.0)
    last = aggregator.add(KEY, JobAudio("2", noise(SECOND, 2), False, 10 * SECOND), 1.0)
    assert first.carried_from == first.covered[1] < 10 * SECOND
    assert last.covered == (first.carried_from, 11 * SECOND)
    assert len(last.pieces) == 1


def test_audio_too_short_to_cut_is_carried_whole() -> None:
    cut = AudioAggregator().add(KEY, JobAudio("1", noise(4 * SECOND), True, 100), 0.0)
    assert cut == Cut((), (100, 100), 100)


def test_the_same_job_again_is_cut_alike() -> None:
    aggregator = AudioAggregator()
    aggregator.add(KEY, JobAudio("1", noise(10 * SECOND), True, 0), 0.0)
    job = JobAudio("2", noise(2 * SECOND, 2), False, 10 * SECOND)
    assert aggregator.add(KEY, job, 1.0) == aggregator.add(KEY, job, 2.0)


def test_turns_do_not_mix() -> None:
    aggregator = AudioAggregator()
    aggregator.add(KEY, JobAudio("1", noise(10 * SECOND), True, 0), 0.0)
    other = aggregator.add(TurnKey("session", "turn", "ca"), JobAudio("2", noise(SECOND), False, 0), 0.0)
    assert other.covered == (0, SECOND)


def test_audio_that_came_twice_counts_once() -> None:
    aggregator = AudioAggregator()
    audio = noise(12 * SECOND)
    first = aggregator.add(KEY, JobAudio("1", audio[: 20 * SECOND], True, 0), 0.0)
    assert first.carried_from is not None
    resent = first.carried_from + 100
    last = aggregator.add(KEY, JobAudio("2", audio[resent * 2 :], False, resent), 0.0)
    assert last.covered == (first.carried_from, 12 * SECOND)
    assert last.pieces[0].pcm == audio[first.carried_from * 2 :]


def test_behind_a_gap_nothing_is_joined() -> None:
    aggregator = AudioAggregator()
    first = aggregator.add(KEY, JobAudio("1", noise(10 * SECOND), True, 0), 0.0)
    last = aggregator.add(KEY, JobAudio("2", noise(SECOND), False, 20 * SECOND), 0.0)
    assert [(piece.start_sample, piece.end_sample) for piece in last.pieces] == [
        (first.carried_from, 10 * SECOND),
        (20 * SECOND, 21 * SECOND),
    ]


def test_what_is_pending_expires() -> None:
    aggregator = AudioAggregator(expiry_s=60)
    aggregator.add(KEY, JobAudio("1", noise(10 * SECOND), True, 0), 0.0)
    assert aggregator.pending_bytes > 0
    aggregator.expire(60.0)
    assert aggregator.pending_bytes == 0


def test_what_is_pending_is_bounded_in_number() -> None:
    aggregator = AudioAggregator(max_turns=3)
    for number in range(10):
        aggregator.add(TurnKey("s", str(number), "es"), JobAudio(str(number), noise(4 * SECOND), True), 0.0)
    assert aggregator.pending_bytes == 3 * 4 * SECOND * 2


def test_a_session_can_be_forgotten() -> None:
    aggregator = AudioAggregator()
    aggregator.add(KEY, JobAudio("1", noise(4 * SECOND), True), 0.0)
    aggregator.forget_session("session")
    assert aggregator.pending_bytes == 0
