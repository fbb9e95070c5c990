"""Turns, the order of ``seq`` and repeated chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lingua_scheduler.sessions.sequence import WINDOW, EchoFilter, SeqWindow
from lingua_scheduler.sessions.turns import Turns, new_turn_id
from lingua_wire.ids import is_id


def test_a_counter_may_start_anywhere() -> None:
    window = SeqWindow()
    assert [window.accept(seq) for seq in (7_000, 7_001, 7_003)] == [0, 1, 3]


def test_a_doubled_frame_is_found() -> None:
    window = SeqWindow()
    assert [window.accept(seq) for seq in (1, 1, 2, 2, 3, 3)] == [0, None, 1, None, 2, None]
    assert window.repeats == 3


def test_a_late_chunk_gets_the_position_of_its_place() -> None:
    window = SeqWindow()
    assert [window.accept(seq) for seq in (4, 6, 5, 5)] == [0, 2, 1, None]
    assert window.late == 1


def test_a_counter_that_starts_again_goes_on_in_order() -> None:
    window = SeqWindow()
    positions = [window.accept(seq) for seq in (5_000, 5_001, 0, 1, 2**32 - 1, 0)]
    assert None not in positions
    assert positions == sorted(set(positions), key=lambda position: position or 0)


def test_a_counter_that_starts_again_after_the_end_of_an_utterance_is_no_repeat() -> None:
    window = SeqWindow()
    first = [window.accept(seq) for seq in (0, 1, 2)]
    window.ended(2)
    second = [window.accept(seq) for seq in (0, 1, 2)]
    assert first + second == [0, 1, 2, 3, 4, 5]


def test_frames_doubled_over_the_end_of_an_utterance_are_still_repeats() -> None:
    window = SeqWindow()
    window.accept(7)
    window.accept(8)
    window.ended(8)
    assert [window.accept(seq) for seq in (8, 7, 9, 9)] == [None, None, 2, None]


@given(st.integers(0, 2**32), st.lists(st.integers(0, 120), max_size=200))
def test_each_seq_passes_exactly_once_and_positions_keep_their_order(start: int, offsets: list[int]) -> None:
    window, places = SeqWindow(), {}
    for offset in offsets:
        position = window.accept(start + offset)
        assert (position is None) == (offset in places)
        if position is not None:
            places[offset] = position
    by_seq = [places[offset] for offset in sorted(places)]
    assert by_seq == sorted(set(by_seq))


@given(st.lists(st.integers(0, 2**62), max_size=50))
def test_any_numbers_at_all_keep_the_window_small(numbers: list[int]) -> None:
    window = SeqWindow()
    for number in numbers:
        window.accept(number)
    assert window._seen.bit_length() <= WINDOW


def test_a_frame_sent_twice_under_two_numbers_is_an_echo() -> None:
    echo = EchoFilter()
    frames = [b"aa", b"aa", b"bb", b"bb", b"cc"]
    assert [echo.is_echo(frame) for frame in frames] == [False, True, False, True, False]


def test_of_equal_silent_frames_at_most_every_second_is_an_echo() -> None:
    echo = EchoFilter()
    assert [echo.is_echo(b"zz") for _ in range(6)] == [False, True] * 3
    assert not echo.is_echo(b"")


def test_pieces_that_continue_share_a_turn() -> None:
    turns = Turns()
    first = turns.piece(continues=True)
    opened = turns.open
    assert turns.piece(continues=True) == first
    assert turns.piece(continues=False) == first
    assert (opened, turns.open) == (True, False)
    assert turns.piece(continues=False) != first


def test_a_turn_told_to_end_ends_with_its_next_piece_only() -> None:
    turns = Turns()
    turns.piece(continues=True)
    turns.end_with_next()
    assert not turns.continues(speech_goes_on=True)
    turns.piece(continues=False)
    assert turns.continues(speech_goes_on=True)


def test_turn_ids_are_random_and_fit_into_keys() -> None:
    ids = {new_turn_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(is_id(turn_id) for turn_id in ids)


def test_chunks_of_a_client_that_does_not_count_keep_the_order_in_which_they_came() -> None:
    window = SeqWindow()
    assert window.accept(0) == 0
    for position in range(1, 50):
        assert window.accept(0) is None
        assert window.uncounted() == position
    assert window.repeats == 0
    assert window.accept(1) == 50
    assert window.accept(1) is None
    assert window.uncounted() is None, "it counts after all"
