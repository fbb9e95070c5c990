from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pocketsphinx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_node.engines import ngram

if TYPE_CHECKING:
    from pathlib import Path

words = st.sampled_from(["go", "forward", "back", "ten", "meters", "stop"])
corpora = st.lists(st.lists(words, min_size=1, max_size=6).map(tuple), min_size=1, max_size=12)


@given(corpora)
def test_the_probabilities_after_every_history_sum_to_one(corpus: list[tuple[str, ...]]) -> None:
    model = ngram.build(corpus)
    for history in model.backoff:
        assert math.isclose(sum(model.of(word, history) for word in model.vocabulary), 1.0, rel_tol=1e-9)


@given(corpora)
def test_no_sentence_of_the_vocabulary_is_impossible(corpus: list[tuple[str, ...]]) -> None:
    model = ngram.build(corpus)
    assert all(0 < model.of(word, ("stop", "stop")) < 1 for word in model.vocabulary) or len(model.vocabulary) == 1


@given(corpora)
def test_the_file_announces_as_many_ngrams_as_it_holds(corpus: list[tuple[str, ...]]) -> None:
    lines = list(ngram.arpa_lines(ngram.build(corpus)))
    announced = [int(line.partition("=")[2]) for line in lines if line.startswith("ngram ")]
    held = [
        sum(line.count("\t") > 0 and len(line.split("\t")[1].split()) == order for line in lines) for order in (1, 2, 3)
    ]
    assert announced == held


def test_pocketsphinx_reads_the_file_as_it_was_meant(tmp_path: Path) -> None:
    model = ngram.build([("go", "forward"), ("go", "back"), ("go", "forward", "ten", "meters")])
    path = tmp_path / "small.arpa"
    path.write_text("\n".join(ngram.arpa_lines(model)) + "\n")
    read = pocketsphinx.NGramModel.readfile(str(path))
    score = pocketsphinx.LogMath().exp(read.prob(["forward", "go", "<s>"]))
    assert math.isclose(score, model.of("forward", ("<s>", "go")), rel_tol=0.01)


def test_a_likely_sentence_is_likelier_than_a_strange_one() -> None:
    model = ngram.build([("go", "forward", "ten", "meters"), ("go", "back")])
    assert model.of("forward", ("<s>", "go")) > model.of("meters", ("<s>", "go"))


def test_no_sentence_gives_no_model() -> None:
    with pytest.raises(ValueError, match="at least one sentence"):
        ngram.build([])


def test_sentences_are_read_without_comments_and_punctuation() -> None:
    text = "# a comment\n\n¿Dónde está  la estación?\nI don\N{RIGHT SINGLE QUOTATION MARK}t know -- 'really'.\n...\n"
    assert ngram.read_sentences(text) == (("dónde", "está", "la", "estación"), ("i", "don't", "know", "really"))
