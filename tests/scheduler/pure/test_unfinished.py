"""What becomes no message is bounded in bytes and in time."""

from __future__ import annotations

from lingua_scheduler.unfinished import HEAD_BYTES, Unfinished


def test_a_message_may_come_in_as_many_pieces_as_it_likes_within_its_bounds() -> None:
    judged = Unfinished(1_000, 30.0)
    assert not any(judged.arrived(100, second) for second in range(10))
    judged.message()
    assert not any(judged.arrived(100, 10.0 + second) for second in range(10))


def test_more_bytes_than_a_message_may_have_are_too_many() -> None:
    judged = Unfinished(1_000, 30.0)
    assert not judged.arrived(1_000, 0.0)
    assert judged.arrived(1, 0.0)


def test_a_message_that_never_comes_whole_takes_too_long() -> None:
    judged = Unfinished(1_000, 30.0)
    assert not judged.arrived(10, 0.0)
    assert not judged.arrived(10, 30.0)
    assert judged.arrived(10, 30.1)


def test_pongs_of_a_peer_that_says_nothing_else_are_never_too_much() -> None:
    judged = Unfinished(1_000, 30.0)
    for minute in range(100):
        assert not judged.arrived(HEAD_BYTES, minute * 60.0)
        judged.control(0)


def test_control_frames_between_fragments_do_not_hide_that_no_message_comes() -> None:
    judged = Unfinished(1_000, 30.0)
    over = []
    for round_ in range(101):
        over.append(judged.arrived(10 + HEAD_BYTES + 4, float(round_) / 10))
        judged.control(4)
    assert not any(over[:99])
    assert over[-1]
