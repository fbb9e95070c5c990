from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lingua_node.stable import StableText

hypotheses = st.lists(st.lists(st.sampled_from("abc"), max_size=8).map(" ".join), max_size=12)


@given(hypotheses)
def test_stable_text_is_never_taken_back(texts: list[str]) -> None:
    watch, before = StableText(), ""
    for text in texts:
        stable, _ = watch.add(text)
        assert stable.startswith(before)
        before = stable


@given(hypotheses)
def test_stable_and_tentative_make_a_text_as_long_as_the_hypothesis(texts: list[str]) -> None:
    watch = StableText()
    for text in texts:
        stable, tentative = watch.add(text)
        assert len(stable.split()) + len(tentative.split()) == max(len(text.split()), len(stable.split()))


def test_a_word_is_stable_when_two_hypotheses_agree_and_two_words_follow() -> None:
    watch = StableText()
    assert watch.add("he was not an") == ("", "he was not an")
    assert watch.add("he was not until this") == ("he was not", "until this")
    assert watch.add("he was not an ill disposed") == ("he was not", "an ill disposed")
