"""Where a session goes on after a loss: whatever is known where, nothing is lost and nothing is said twice."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from lingua_scheduler.sessions.resuming import (
    MAX_ENTRY_BYTES,
    Claim,
    Entry,
    Mark,
    begin_again,
    begin_fresh,
    digest,
    new_token,
    read_entry,
    retold,
)
from lingua_state.models import KeptEvent, Resumed


def told(index: int, lengths: list[int], *, spoken: bool) -> Entry:
    """Make the outcome of an utterance; they follow each other without a gap."""
    start, end = sum(lengths[:index]), sum(lengths[: index + 1])
    text = orjson.dumps({"utterance_index": index}).decode()
    return Entry(text, Mark(start, index), Mark(end, index + 1), spoken, index)


@st.composite
def losses(draw: st.DrawFn) -> tuple[list[int], Claim, Resumed, bool]:
    """Draw utterances, how many the client has the outcome of, and which outcomes the store kept."""
    lengths = draw(st.lists(st.integers(1, 1000), min_size=1, max_size=8))
    has, done = sorted(draw(st.lists(st.integers(0, len(lengths)), min_size=2, max_size=2)))
    spoken = draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    written = draw(st.integers(has, done))
    first = draw(st.integers(0, done))
    events = tuple(
        KeptEvent(index + 1, text)
        for index in range(max(first, has), written)
        if (text := told(index, lengths, spoken=spoken[index]).write()) is not None
    )
    holds_all = draw(st.booleans())
    held = sum(lengths[:has]) if holds_all else None
    claim = Claim(last_seq=has, mark=Mark(sum(lengths[:has]), has), held_sample=held)
    stale = draw(st.integers(0, written))
    resumed = Resumed(2, "gone", stale, sum(lengths[:stale]), stale, events)
    return lengths, claim, resumed, holds_all


@given(losses())
def test_each_utterance_is_had_already_or_told_again_or_asked_for_and_only_one_of_these(
    loss: tuple[list[int], Claim, Resumed, bool],
) -> None:
    lengths, claim, resumed, _ = loss
    again = begin_again(claim, resumed)
    assert claim.mark is not None
    for index in range(len(lengths)):
        start = sum(lengths[:index])
        ways = [
            index < claim.mark.index,
            index in [entry.index for entry in again.entries],
            again.start.sample <= start and (again.start.index or 0) <= index,
        ]
        assert sum(ways) == 1, (index, ways)


@given(losses())
def test_speech_that_can_be_made_again_is_not_told_as_text_alone(
    loss: tuple[list[int], Claim, Resumed, bool],
) -> None:
    _, claim, resumed, holds_all = loss
    again = begin_again(claim, resumed)
    if holds_all:
        assert not any(entry.spoken for entry in again.entries)


@given(losses())
def test_new_events_get_numbers_that_no_event_had(loss: tuple[list[int], Claim, Resumed, bool]) -> None:
    _, claim, resumed, _ = loss
    assert begin_again(claim, resumed).start.seq >= max(claim.last_seq, resumed.seq)


def test_a_client_that_only_names_its_last_event_is_told_what_the_store_has() -> None:
    lengths = [100, 200, 300]
    kept = tuple(KeptEvent(index + 1, told(index, lengths, spoken=True).write() or "") for index in (1, 2))
    again = begin_again(Claim(last_seq=1), Resumed(2, "gone", 3, 600, 3, kept))
    assert [entry.index for entry in again.entries] == [1, 2]
    assert (again.start.sample, again.start.index) == (600, 3)
    nothing = begin_again(Claim(last_seq=3), Resumed(2, "gone", 3, 600, 3, ()))
    assert (nothing.entries, nothing.start.sample, nothing.start.index) == ((), 600, 3)


def test_audio_that_the_client_no_longer_has_is_not_asked_for() -> None:
    again = begin_again(Claim(1, Mark(100, 1), held_sample=700), Resumed(2, "gone", 1, 100, 1, ()))
    assert again.start.sample == 700
    assert begin_fresh(Claim(1, Mark(100, 1), held_sample=700)).sample == 700


def test_what_was_cut_and_has_no_outcome_is_not_told_again_since_it_is_cut_again() -> None:
    cut = Entry("{}", Mark(0, 0), Mark(0, 0))
    again = begin_again(Claim(0, Mark(0, 0), 0), Resumed(2, "gone", 1, 0, 0, (KeptEvent(1, cut.write() or ""),)))
    assert again.entries == ()


def test_an_entry_of_another_version_is_asked_for_again_rather_than_guessed() -> None:
    assert read_entry('{"new": "way"}') is None
    again = begin_again(Claim(0, Mark(0, 0), 0), Resumed(2, "gone", 1, 50, 1, (KeptEvent(1, "[1]"),)))
    assert (again.entries, again.start.sample) == ((), 0)


def test_an_entry_that_is_too_large_for_the_store_is_not_written() -> None:
    assert Entry("x" * MAX_ENTRY_BYTES, Mark(), Mark(), index=0).write() is None


def test_an_event_told_again_has_its_new_number_and_the_session_it_is_in() -> None:
    entry = read_entry(told(0, [10], spoken=False).write() or "")
    assert entry is not None
    assert retold(entry, 9, "s-1") == {"utterance_index": 0, "seq": 9, "session_id": "s-1"}


def test_a_token_is_random_and_only_its_digest_is_kept() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 32 and digest(token) != token for token in tokens)
    assert "Mark" not in repr(KeptEvent(1, "spoken words"))
    assert "spoken words" not in repr(KeptEvent(1, "spoken words"))
