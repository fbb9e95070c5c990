"""Results in utterance order, each once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lingua_scheduler.sessions.order import REMEMBERED, Missing, Ready, ReleaseOrder


def order_of(*indices: int, deadline_ms: int = 1_000) -> ReleaseOrder[str]:
    order: ReleaseOrder[str] = ReleaseOrder()
    for index in indices:
        order.expect(index, deadline_ms)
    return order


def test_a_result_waits_for_the_earlier_ones() -> None:
    order = order_of(5, 6, 7)
    order.resolve(6, "six")
    assert order.release(0) == []
    order.resolve(5, "five")
    assert order.release(0) == [Ready(5, "five"), Ready(6, "six")]
    assert len(order) == 1


def test_a_hole_is_given_up_at_its_deadline_and_reported() -> None:
    order = order_of(1, 2)
    order.resolve(2, "two")
    assert order.next_due_ms == 1_000
    assert order.release(999) == []
    assert order.release(1_000) == [Missing(1), Ready(2, "two")]
    assert order.next_due_ms is None


def test_a_result_after_its_index_was_given_up_is_dropped_and_counted() -> None:
    order = order_of(1)
    order.release(1_000)
    assert not order.resolve(1, "late")
    assert order.late == 1
    assert order.release(2_000) == []


def test_a_second_result_is_dropped_and_counted() -> None:
    order = order_of(1, 2)
    assert order.resolve(2, "first")
    assert not order.resolve(2, "second")
    assert not order.fail(2, "third")
    assert not order.skip(2)
    assert order.repeated == 3
    order.resolve(1, "one")
    assert order.release(0) == [Ready(1, "one"), Ready(2, "first")]


def test_a_result_nobody_expected_is_dropped() -> None:
    order = order_of(1)
    assert not order.resolve(9, "foreign")
    assert order.late == 1


def test_a_skipped_index_lets_later_ones_pass_in_silence() -> None:
    order = order_of(1, 2)
    order.resolve(2, "two")
    order.skip(1)
    assert order.release(0) == [Ready(2, "two")]


def test_a_failure_is_told_in_its_turn() -> None:
    order = order_of(1, 2)
    order.fail(2, "failed")
    assert order.release(0) == []
    order.skip(1)
    assert order.release(0) == [Ready(2, "failed")]


def test_a_next_attempt_moves_the_deadline() -> None:
    order = order_of(1)
    assert order.expect(1, 5_000)
    assert order.expects(1)
    assert order.release(4_999) == []
    assert order.release(5_000) == [Missing(1)]


def test_a_released_index_is_not_taken_again() -> None:
    order = order_of(1)
    order.resolve(1, "one")
    order.release(0)
    assert not order.expect(1, 9_000)
    assert not order.expects(1)


def test_what_is_remembered_is_bounded() -> None:
    order: ReleaseOrder[str] = ReleaseOrder()
    for index in range(3 * REMEMBERED):
        order.expect(index, 0)
        order.release(0)
    assert len(order) == 0
    assert len(order._done) == REMEMBERED


acts = st.tuples(
    st.sampled_from(["expect", "resolve", "fail", "skip", "release"]), st.integers(0, 12), st.integers(0, 40)
)


@given(st.lists(acts, max_size=80))
def test_each_index_is_released_at_most_once_and_in_the_order_expected(script: list[tuple[str, int, int]]) -> None:
    order: ReleaseOrder[str] = ReleaseOrder()
    now_ms, out = 0, []
    expected: list[int] = []
    accepted: dict[int, str] = {}
    skipped: set[int] = set()
    for act, index, wait_ms in script:
        now_ms += wait_ms
        if act == "expect":
            if order.expect(index, now_ms + 50) and index not in expected:
                expected.append(index)
        elif act == "release":
            out += order.release(now_ms)
        elif act == "skip":
            skipped |= {index} if order.skip(index) else set()
        elif (order.resolve if act == "resolve" else order.fail)(index, f"{act}{index}"):
            accepted[index] = f"{act}{index}"
    out += order.release(now_ms + 100)
    assert [item.index for item in out] == [index for index in expected if index not in skipped]
    for item in out:
        assert (item.item if isinstance(item, Ready) else None) == accepted.get(item.index)
