"""Build a trigram language model from sentences, for a recogniser that must know one domain well. Pure.

Probabilities are Witten and Bell's (IEEE Trans. Information Theory 37(4), 1991, method C), interpolated, so the
back-off form that ARPA files hold says exactly the same: p(w|h) for a trigram never seen is backoff(h) * p(w|h').
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ORDER = 3
START = "<s>"
END = "</s>"
_NEVER = -99.0

Gram = tuple[str, ...]

_NOT_WORD = re.compile(r"[^\w' ]|_")


def words_of(sentence: str) -> tuple[str, ...]:
    """Split a sentence into lower-case words without punctuation; apostrophes inside words stay."""
    plain = _NOT_WORD.sub(" ", sentence.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return tuple(word for word in (part.strip("'") for part in plain.split()) if word)


def read_sentences(text: str) -> tuple[tuple[str, ...], ...]:
    """Read one sentence a line; empty lines and lines that begin with ``#`` do not count."""
    lines = (line.strip() for line in text.splitlines())
    sentences = (words_of(line) for line in lines if line and not line.startswith("#"))
    return tuple(sentence for sentence in sentences if sentence)


@dataclass(frozen=True, slots=True)
class NgramModel:
    """Probabilities of words after their histories, and the weight of backing off from each history."""

    probability: Mapping[Gram, float]
    backoff: Mapping[Gram, float]

    @property
    def vocabulary(self) -> frozenset[str]:
        """Name every word the model can predict, the end of a sentence among them."""
        return frozenset(gram[0] for gram in self.probability if len(gram) == 1)

    def of(self, word: str, history: Gram) -> float:
        """Give p(word | history) as a reader of the ARPA file works it out."""
        known = self.probability.get((*history, word))
        if known is not None or not history:
            return known or 0.0
        return self.backoff.get(history, 1.0) * self.of(word, history[1:])


def build(sentences: Iterable[tuple[str, ...]]) -> NgramModel:
    """Count the sentences and smooth what was counted.

    :raises ValueError: there is no sentence.
    """
    followers = _count(sentences)
    if not followers:
        raise ValueError("a language model needs at least one sentence")
    probability: dict[Gram, float] = {}
    backoff: dict[Gram, float] = {}
    model = NgramModel(probability, backoff)
    uniform = 1.0 / len(followers[()])
    for history in sorted(followers, key=len):
        counts = followers[history]
        total = counts.total() + len(counts)
        backoff[history] = len(counts) / total
        for word, count in counts.items():
            shorter = model.of(word, history[1:]) if history else uniform
            probability[(*history, word)] = (count + len(counts) * shorter) / total
    return model


def arpa_lines(model: NgramModel) -> Iterator[str]:
    """Write the model in ARPA's format, line by line."""
    grams: list[list[Gram]] = [[] for _ in range(ORDER)]
    for gram in model.probability:
        grams[len(gram) - 1].append(gram)
    grams[0].append((START,))
    yield "\\data\\"
    for order, members in enumerate(grams, 1):
        yield f"ngram {order}={len(members)}"
    for order, members in enumerate(grams, 1):
        yield f"\n\\{order}-grams:"
        for gram in sorted(members):
            yield _arpa_line(model, gram, has_backoff=order < ORDER)
    yield "\n\\end\\"


def _arpa_line(model: NgramModel, gram: Gram, *, has_backoff: bool) -> str:
    value = model.probability.get(gram)
    log = math.log10(value) if value else _NEVER
    line = f"{log:.5f}\t{' '.join(gram)}"
    return f"{line}\t{math.log10(model.backoff.get(gram, 1.0)):.5f}" if has_backoff else line


def _count(sentences: Iterable[tuple[str, ...]]) -> dict[Gram, Counter[str]]:
    followers: defaultdict[Gram, Counter[str]] = defaultdict(Counter)
    for sentence in sentences:
        padded = (START, *sentence, END)
        for end in range(1, len(padded)):
            for length in range(min(ORDER - 1, end) + 1):
                followers[padded[end - length : end]][padded[end]] += 1
    return dict(followers)
