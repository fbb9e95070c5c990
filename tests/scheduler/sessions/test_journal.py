"""What waits for a client's acknowledgement: bounded, in order, told again from where the client is."""

from __future__ import annotations

from lingua_scheduler.sessions.journal import Journal
from lingua_scheduler.sessions.outbox import Outgoing


def journal(count: int, max_events: int = 8, max_bytes: int = 1_000, size: int = 10) -> Journal:
    made = Journal(max_events, max_bytes)
    for _ in range(count):
        made.add(Outgoing(("x" * size,), without_speech=("x",), seq=made.number()))
    return made


def numbers(events: list[Outgoing] | None) -> list[int | None]:
    assert events is not None
    return [event.seq for event in events]


def test_events_wait_until_the_client_has_them() -> None:
    made = journal(4)
    assert numbers(made.after(2)) == [3, 4]
    assert made.ack(3)
    assert numbers(made.after(3)) == [4]
    assert len(made) == 1


def test_an_acknowledgement_of_nothing_new_or_of_what_was_never_told_counts_for_nothing() -> None:
    made = journal(2)
    assert made.ack(2)
    assert not made.ack(2)
    assert not made.ack(1)
    assert not made.ack(99)


def test_a_client_that_has_not_even_what_is_forgotten_can_not_be_told_everything() -> None:
    made = journal(10, max_events=4)
    assert made.after(5) is None
    assert numbers(made.after(6)) == [7, 8, 9, 10]


def test_beyond_the_bytes_speech_goes_first_and_text_stays() -> None:
    made = journal(4, max_bytes=25)
    kept = made.after(0)
    assert numbers(kept) == [1, 2, 3, 4]
    assert [event.frames for event in kept or ()][:2] == [("x",), ("x",)]


def test_what_another_instance_kept_is_told_with_its_numbers() -> None:
    made = Journal(8, 1_000, seq=7)
    made.adopt([Outgoing(("a",), seq=6), Outgoing(("b",), seq=7)], acked=5)
    assert numbers(made.after(5)) == [6, 7]
    assert made.number() == 8
