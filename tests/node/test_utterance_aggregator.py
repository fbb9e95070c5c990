from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lingua_node.aggregators.audio import TurnKey
from lingua_node.aggregators.utterance import HeardPiece, UtteranceAggregator, fresh_text, without_repeat
from lingua_node.engines.base import Word

KEY = TurnKey("session", "turn", "es")
texts = st.lists(st.sampled_from(["no", "yes", "go"]), max_size=6).map(" ".join)


@given(st.lists(texts, min_size=1, max_size=5))
def test_contiguous_pieces_lose_no_word_however_often_it_is_said(pieces: list[str]) -> None:
    aggregator = UtteranceAggregator()
    said = [aggregator.add(KEY, HeardPiece(n * 100, n * 100 + 100, text)) for n, text in enumerate(pieces)]
    assert said == pieces


@given(texts, texts, texts)
def test_truly_overlapping_text_is_said_once(before: str, shared: str, after: str) -> None:
    first = HeardPiece(0, 100, f"{before} {shared}".strip())
    text = fresh_text(first, HeardPiece(50, 200, f"{shared} {after}".strip()))
    assert len(text.split()) <= len(after.split())
    assert f"{shared} {after}".strip().endswith(text)


def test_words_heard_twice_are_told_by_their_samples() -> None:
    words = (Word("go", 0, 40), Word("go", 60, 90), Word("home", 90, 150))
    assert fresh_text(HeardPiece(0, 100, "now go"), HeardPiece(50, 200, "go go home", words)) == "go home"


def test_a_second_attempt_at_a_piece_is_said_whole() -> None:
    aggregator = UtteranceAggregator()
    piece = HeardPiece(0, 100, "go home")
    assert [aggregator.add(KEY, piece), aggregator.add(KEY, piece)] == ["go home", "go home"]


def test_texts_without_anything_in_common_stay() -> None:
    assert without_repeat("one two", "three four") == "three four"


def test_turns_do_not_mix_and_are_bounded() -> None:
    aggregator = UtteranceAggregator(max_turns=2)
    for number in range(5):
        aggregator.add(TurnKey("s", str(number), "es"), HeardPiece(0, 100, "go"))
    assert aggregator.add(TurnKey("s", "0", "es"), HeardPiece(50, 200, "go home")) == "go home"
    assert aggregator.add(TurnKey("s", "4", "es"), HeardPiece(50, 200, "go home")) == "home"


def test_a_session_can_be_forgotten() -> None:
    aggregator = UtteranceAggregator()
    aggregator.add(KEY, HeardPiece(0, 100, "go"))
    aggregator.forget_session("session")
    assert aggregator.add(KEY, HeardPiece(50, 200, "go home")) == "go home"
