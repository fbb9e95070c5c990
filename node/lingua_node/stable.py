"""Tell which words of a growing text will very likely stay, so that captions do not flicker. Pure.

A word is stable when the last two hypotheses agree on it and on all before it and at least two words follow it. What
was once called stable is never taken back within the partials of one utterance; the final text alone may correct it.
"""

from __future__ import annotations

_FOLLOWING_WORDS = 2


class StableText:
    """Watch the hypotheses of one utterance."""

    def __init__(self) -> None:
        self._last: list[str] = []
        self._stable: list[str] = []

    def add(self, text: str) -> tuple[str, str]:
        """Take the text so far; give its stable and its tentative part."""
        words = text.split()
        agreed = _common_words(self._last, words)
        self._last = words
        settled = min(agreed, len(words) - _FOLLOWING_WORDS)
        if settled > len(self._stable) and words[: len(self._stable)] == self._stable:
            self._stable = words[:settled]
        return " ".join(self._stable), " ".join(words[len(self._stable) :])


def _common_words(one: list[str], other: list[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
