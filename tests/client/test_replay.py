"""What is sent again after a resume is what was sent, from that place on: audio once, each end at its place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lingua_client.position import Position
from lingua_client.replay import End, Piece, Track, Whole
from lingua_wire import session_messages as wire

FAILED = wire.UtteranceFailed(session_id="s", utterance_index=1, code="NODE_LOST", retryable=True)


@given(
    ends=st.lists(st.integers(1, 1_000), unique=True, max_size=8),
    wholes=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 100)), max_size=3),
    start=st.integers(0, 1_000),
)
def test_the_audio_from_a_sample_on_goes_once_and_in_order(
    ends: list[int], wholes: list[tuple[int, int]], start: int
) -> None:
    track = Track()
    for at in ends:
        track.ended(at, f"u{at}")
    taken: list[tuple[int, int]] = []
    for first, length in sorted(wholes):
        free = all(first >= end or first + length <= begin for begin, end in taken)
        if free and not any(first < at < first + length for at in ends):
            taken.append((first, first + length))
            track.whole(Whole(first, first + length, 1, FAILED))
    at = start
    for step in track.steps(start, 1_000, frozenset()):
        if isinstance(step, End):
            assert step.at == at
            assert step.at in ends
        else:
            assert step.start == at
            at = step.end
    assert at == 1_000 or start == 1_000


@given(ends=st.lists(st.integers(1, 1_000), unique=True, max_size=8), start=st.integers(0, 1_000))
def test_each_end_behind_the_sample_is_sent_again(ends: list[int], start: int) -> None:
    track = Track()
    for at in ends:
        track.ended(at, f"u{at}")
    sent = [step.at for step in track.steps(start, 1_000, frozenset()) if isinstance(step, End)]
    assert sent == sorted(at for at in ends if at > start)


def test_an_end_right_at_the_sample_is_sent_only_while_it_is_unanswered() -> None:
    track = Track()
    track.ended(100, "u1")
    assert track.steps(100, 100, frozenset()) == []
    assert track.steps(100, 100, frozenset({"u1"})) == [End(100, "u1")]


def test_what_the_service_cut_by_itself_is_cut_there_again() -> None:
    track = Track()
    track.ended(100)
    track.ended(200, "u1")
    track.ended(200)
    assert track.steps(0, 300, frozenset()) == [
        Piece(0, 100),
        End(100, "c100"),
        Piece(100, 200),
        End(200, "u1"),
        Piece(200, 300),
    ]


def test_what_has_its_outcome_is_forgotten() -> None:
    track = Track()
    track.ended(100, "u1")
    track.whole(Whole(100, 200, 1, FAILED))
    track.ended(300, "u2")
    track.forget_below(200)
    assert track.steps(0, 300, frozenset()) == [Piece(0, 300), End(300, "u2")]


def test_an_utterance_sent_again_twice_goes_as_the_latest_one() -> None:
    track = Track()
    track.whole(Whole(0, 100, 17, FAILED))
    track.whole(Whole(0, 100, 33, FAILED))
    assert track.steps(0, 100, frozenset()) == [Whole(0, 100, 33, FAILED)]


def test_a_position_only_goes_forward() -> None:
    position = Position()
    position.saw(3, 16_000, 0)
    position.saw(2, 8_000, None)
    assert (position.last_seq, position.sample, position.index) == (3, 16_000, 1)
    assert position.is_new(4)
    assert position.is_new(None)
    assert not position.is_new(3)
