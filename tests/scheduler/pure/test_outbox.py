"""What may wait for a slow client."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lingua_scheduler.sessions.outbox import Outbox, OutboxRules, Outgoing

SMALL = OutboxRules(max_events=4, max_bytes=100, burst=2)


def partial(utterance: int, text: str) -> Outgoing:
    return Outgoing((text,), partial_of=utterance)


def final(utterance: int, text: str, speech: bytes = b"") -> Outgoing:
    return Outgoing((text, speech), final_of=utterance, without_speech=(text,) if speech else None)


def drain(box: Outbox, now_ms: int = 0) -> list[str]:
    taken = []
    while event := box.take(now_ms):
        taken.append("".join(str(frame) for frame in event.frames if isinstance(frame, str)))
    return taken


def test_events_leave_in_the_order_they_came() -> None:
    box = Outbox()
    for text in "abc":
        assert box.put(Outgoing((text,)), 0)
    assert drain(box) == ["a", "b", "c"]
    assert (len(box), box.waiting_bytes, box.take(0)) == (0, 0, None)


def test_the_latest_partial_of_an_utterance_takes_the_place_of_the_one_before() -> None:
    box = Outbox()
    for event in (partial(1, "he"), partial(2, "x"), Outgoing(("note",)), partial(1, "hello")):
        box.put(event, 0)
    assert drain(box) == ["hello", "x", "note"]
    assert box.merged == 1


def test_a_final_leaves_out_the_partial_it_replaces() -> None:
    box = Outbox()
    for event in (partial(1, "he"), partial(2, "x"), final(1, "hello!")):
        box.put(event, 0)
    assert drain(box) == ["x", "hello!"]


def test_a_partial_after_one_was_sent_waits_anew() -> None:
    box = Outbox()
    box.put(partial(1, "he"), 0)
    assert drain(box) == ["he"]
    box.put(partial(1, "hello"), 0)
    assert drain(box) == ["hello"]


def test_speech_that_waited_15_s_is_left_out_and_its_text_sent() -> None:
    box = Outbox()
    box.put(final(1, "old", b"x" * 50), 0)
    box.put(final(2, "new", b"y" * 50), 10_000)
    old, new = box.take(15_001), box.take(15_001)
    assert old is not None
    assert new is not None
    assert (old.frames, new.frames) == (("old",), ("new", b"y" * 50))
    assert box.speech_dropped == 1
    assert box.waiting_bytes == 0


def test_a_client_that_does_not_read_overflows_at_the_bound_of_events() -> None:
    box = Outbox(SMALL)
    assert all(box.put(final(n, "t"), 2_000 * n) for n in range(4))
    assert not box.put(final(4, "t"), 8_000)


def test_a_client_that_does_not_read_overflows_at_the_bound_of_bytes() -> None:
    box = Outbox(SMALL)
    assert box.put(final(1, "t" * 60), 0)
    assert not box.put(final(2, "t" * 60), 1_000)


def test_a_burst_of_results_for_a_client_that_reads_is_no_overflow() -> None:
    box = Outbox(SMALL)
    assert all(box.put(final(n, "t" * 40), 0) for n in range(4))
    assert box.waiting_bytes == 160
    assert not box.put(final(9, "t" * 41), 0)


def test_one_event_larger_than_the_bound_is_sent() -> None:
    box = Outbox(SMALL)
    assert box.put(final(1, "t", b"x" * 1_000), 0)
    assert len(drain(box)) == 1


def test_partials_and_stale_speech_make_room_before_anything_overflows() -> None:
    box = Outbox(SMALL)
    box.put(final(1, "one", b"x" * 80), 0)
    for utterance in (2, 3, 4):
        assert box.put(partial(utterance, "p"), 2_000)
    assert box.put(final(5, "five"), 16_000)
    assert box.speech_dropped == 1
    assert drain(box, 16_000) == ["one", "five"]


texts = st.text("ab", min_size=1, max_size=60)
events = st.one_of(
    st.builds(partial, st.integers(0, 3), texts),
    st.builds(final, st.integers(0, 3), texts, st.sampled_from([b"", b"x" * 30])),
)


@given(st.lists(st.tuples(st.one_of(st.none(), events), st.integers(0, 2_000)), max_size=80))
def test_finals_are_never_lost_and_what_waits_is_bounded(script: list[tuple[Outgoing | None, int]]) -> None:
    box, now_ms, sent, taken = Outbox(SMALL), 0, [], []
    for event, wait_ms in script:
        now_ms += wait_ms
        if event is None:
            taken.append(box.take(now_ms))
        else:
            sent += [event.frames[0]] if event.final_of is not None else []
            if not box.put(event, now_ms):
                break
            assert box.waiting_bytes <= SMALL.max_bytes * SMALL.burst or len(box) == 1
            assert len(box) <= SMALL.max_events * SMALL.burst
    while event := box.take(now_ms):
        taken.append(event)
    assert [event.frames[0] for event in taken if event and event.final_of is not None] == sent
    assert box.waiting_bytes == 0
