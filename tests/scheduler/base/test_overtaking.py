"""A base client's final may overtake its last chunk; yet two sentences sent fast must not become one."""

from __future__ import annotations

from kit.speech import ScriptedDetector
from lingua_scheduler.sessions.cuts import CutRules, Finalized
from lingua_scheduler.sessions.cutter import Cutter

RULES = CutRules()
#: One letter is 10 ms; a page's chunk is 260 ms.
CHUNK = b"S" * 26


def cutter() -> Cutter:
    return Cutter(RULES, ScriptedDetector())


def test_a_chunk_overtaken_by_its_final_is_part_of_the_utterance() -> None:
    cut = cutter()
    for position, now_ms in enumerate((0, 260, 520)):
        cut.append(CHUNK, now_ms, position)
    assert cut.finish(530) == ()
    assert cut.append(b"s" + CHUNK[1:], 540, 4) == ()
    (ended,) = cut.tick(730)
    assert isinstance(ended, Finalized)
    assert ended.duration_ms == 4 * 260
    assert ended.manual


def test_a_doubled_chunk_overtaken_by_its_final_is_part_of_the_utterance() -> None:
    cut = cutter()
    cut.append(CHUNK, 0, 0)
    cut.append(CHUNK, 1, 1)
    cut.finish(10)
    assert cut.append(CHUNK, 20, 3) == ()
    assert cut.append(CHUNK, 21, 4) == ()
    (ended,) = cut.tick(210)
    assert ended.end_sample == 4 * 26 * 160


def test_a_second_utterance_sent_at_once_is_not_joined_to_the_first() -> None:
    cut = cutter()
    told = [cut.append(b"S" * 100, 0, 0), cut.finish(0, "one"), cut.append(b"S" * 50, 0, 2), cut.append(CHUNK, 0, 3)]
    (first,) = [found for cuts in told for found in cuts]
    assert isinstance(first, Finalized)
    assert (first.client_id, first.duration_ms, first.manual) == ("one", 1_000, True)
    assert cut.finish(1, "two") == ()
    (second,) = cut.tick(201)
    assert isinstance(second, Finalized)
    assert (second.client_id, second.duration_ms, second.manual) == ("two", 760, True)
    assert second.start_sample == first.end_sample


def test_a_late_chunk_that_says_its_place_stays_with_its_utterance_when_the_next_one_comes() -> None:
    cut = cutter()
    cut.append(b"S" * 100, 0, 0)
    cut.finish(0)
    cut.append(b"T" + b"S" * 25, 1, -1)
    (first,) = cut.append(b"S" * 61, 2, 3)
    assert isinstance(first, Finalized)
    assert first.audio == b"T" + b"S" * 125


def test_a_short_first_piece_still_joins_what_follows_at_once() -> None:
    cut = cutter()
    cut.append(b"S" * 30, 0, 0)
    cut.finish(0)
    cut.append(b"S" * 70, 1, 2)
    cut.finish(2)
    (joined,) = [found for found in cut.tick(500) if isinstance(found, Finalized)]
    assert joined.duration_ms == 1_000
