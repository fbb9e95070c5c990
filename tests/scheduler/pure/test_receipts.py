"""Receipts: who is responsible for which sample."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lingua_scheduler.sessions.receipts import Receipt, Receipts


def figures(receipts: Receipts) -> tuple[int, int, int]:
    now = receipts.receipt()
    return now.received, now.accepted, now.consumed


def test_audio_moves_from_received_over_accepted_to_consumed() -> None:
    receipts = Receipts()
    receipts.received(16_000)
    assert figures(receipts) == (16_000, 0, 0)
    receipts.opened(0, 0, 16_000)
    assert figures(receipts) == (16_000, 0, 0)
    receipts.accepted(0)
    assert figures(receipts) == (16_000, 16_000, 0)
    receipts.consumed(0)
    assert figures(receipts) == (16_000, 16_000, 16_000)


def test_buffered_and_lag_are_told_in_milliseconds() -> None:
    receipts = Receipts()
    receipts.opened(0, 0, 16_000)
    receipts.accepted(0)
    receipts.received(24_000)
    assert receipts.receipt() == Receipt(24_000, 16_000, 0, buffered_ms=500, lag_ms=1_500)


def test_skipped_audio_is_done_with() -> None:
    receipts = Receipts()
    receipts.skipped(8_000)
    assert figures(receipts) == (8_000, 8_000, 8_000)


def test_a_later_result_moves_nothing_past_an_earlier_utterance() -> None:
    receipts = Receipts()
    receipts.opened(0, 0, 100)
    receipts.opened(1, 100, 200)
    receipts.accepted(1)
    receipts.consumed(1)
    assert figures(receipts) == (200, 0, 0)
    receipts.accepted(0)
    assert figures(receipts) == (200, 200, 0)
    receipts.consumed(0)
    assert figures(receipts) == (200, 200, 200)


def test_what_a_node_carried_is_not_consumed_before_the_next_piece() -> None:
    receipts = Receipts()
    receipts.opened(0, 0, 1_000, "turn")
    receipts.opened(1, 1_000, 1_500, "turn")
    for key in (0, 1):
        receipts.accepted(key)
    receipts.consumed(0, carried_from=700)
    assert figures(receipts) == (1_500, 1_500, 700)
    receipts.consumed(1)
    assert figures(receipts) == (1_500, 1_500, 1_500)


def test_a_piece_may_carry_on_what_the_one_before_carried() -> None:
    receipts = Receipts()
    receipts.opened(0, 0, 1_000, "turn")
    receipts.opened(1, 1_000, 1_100, "turn")
    receipts.opened(2, 1_100, 1_500, "turn")
    receipts.consumed(0, carried_from=700)
    receipts.consumed(1, carried_from=900)
    assert receipts.receipt().consumed == 900
    receipts.consumed(2)
    assert receipts.receipt().consumed == 1_500


def test_a_node_lost_with_carried_audio_is_answered_by_asking_for_that_too() -> None:
    receipts = Receipts()
    receipts.opened(0, 0, 1_000, "turn")
    receipts.opened(1, 1_000, 1_500, "turn")
    receipts.consumed(0, carried_from=700)
    assert receipts.failed(1) == 700
    assert figures(receipts) == (1_500, 1_500, 1_500)


def test_a_failed_utterance_is_asked_for_from_its_own_start_and_once() -> None:
    receipts = Receipts()
    receipts.opened(0, 0, 1_000, "one")
    receipts.opened(1, 1_000, 1_500, "two")
    receipts.consumed(0, carried_from=700)
    assert receipts.failed(1) == 1_000
    assert receipts.failed(1) is None
    assert receipts.receipt().consumed == 700


def test_audio_held_again_for_a_next_attempt_is_not_accepted() -> None:
    receipts = Receipts()
    receipts.opened(0, 0, 1_000)
    receipts.accepted(0)
    receipts.reheld(0)
    assert figures(receipts) == (1_000, 0, 0)


def test_words_about_unknown_or_ended_utterances_change_nothing() -> None:
    receipts = Receipts()
    receipts.opened(0, 0, 100)
    receipts.consumed(0)
    before = receipts.receipt()
    for key in (0, 9):
        receipts.accepted(key)
        receipts.reheld(key)
        receipts.consumed(key)
        assert receipts.failed(key) is None
    assert receipts.receipt() == before


def test_a_receipt_is_sent_each_second_while_audio_comes() -> None:
    receipts = Receipts()
    sent = []
    for now_ms in range(0, 3_000, 100):
        receipts.received(now_ms * 16 + 1_600)
        sent += [now_ms] if receipts.due(now_ms) else []
    assert sent == [0, 1_000, 2_000]


def test_a_node_s_word_is_passed_on_soon_and_nothing_is_sent_twice() -> None:
    receipts = Receipts()
    receipts.opened(0, 0, 100)
    assert receipts.due(5_000)
    receipts.accepted(0)
    due_ms = receipts.next_due_ms
    assert due_ms == 5_100
    assert [bool(receipts.due(now_ms)) for now_ms in (5_099, 5_100, 60_000)] == [False, True, False]


def test_with_nothing_new_no_receipt_is_due() -> None:
    receipts = Receipts()
    assert receipts.next_due_ms is None
    assert receipts.due(60_000) is None


@given(
    st.lists(st.integers(1, 100), min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from(["accepted", "consumed", "carried", "failed"]), st.integers(0, 7))),
)
def test_the_marks_only_grow_and_stay_in_order(lengths: list[int], acts: list[tuple[str, int]]) -> None:
    receipts, at = Receipts(), 0
    for key, length in enumerate(lengths):
        receipts.opened(key, at, at + length, f"turn-{key // 3}")
        at += length
    last = receipts.receipt()
    for act, key in acts:
        if act == "carried":
            receipts.consumed(key, carried_from=sum(lengths[:key]) + lengths[key % len(lengths)] // 2)
        else:
            getattr(receipts, act)(key)
        now = receipts.receipt()
        assert 0 <= now.consumed <= now.accepted <= now.received == at
        assert now.consumed >= last.consumed
        assert now.accepted >= last.accepted
        last = now
