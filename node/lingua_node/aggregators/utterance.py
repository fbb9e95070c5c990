"""Join the texts of a turn's pieces without saying anything twice. Pure.

What was heard twice is told by its samples. Text alone decides only where ranges truly overlap and the recogniser gave
no positions: a speaker may well say the same words twice.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lingua_node.aggregators.audio import TurnKey
    from lingua_node.engines.base import Word


@dataclass(frozen=True, slots=True)
class HeardPiece:
    """The text of one piece; ``words`` count their samples from the start of the piece."""

    start_sample: int
    end_sample: int
    text: str
    words: tuple[Word, ...] = ()


class UtteranceAggregator:
    """Remember the last piece of every turn, bounded in number."""

    def __init__(self, *, max_turns: int = 1024) -> None:
        self._max_turns = max_turns
        self._last: OrderedDict[TurnKey, HeardPiece] = OrderedDict()

    def add(self, key: TurnKey, piece: HeardPiece) -> str:
        """Give the text of a piece without what its turn has already said."""
        last = self._last.get(key)
        text = fresh_text(last, piece) if last else piece.text
        if last is None or piece.end_sample > last.end_sample:
            self._last[key] = piece
            self._last.move_to_end(key)
        while len(self._last) > self._max_turns:
            self._last.popitem(last=False)
        return text

    def forget_session(self, session_id: str) -> None:
        """Forget every turn of a session."""
        for key in [key for key in self._last if key.session_id == session_id]:
            del self._last[key]


def fresh_text(last: HeardPiece, piece: HeardPiece) -> str:
    """Give the part of a piece's text that lies behind the piece before it."""
    overlaps = piece.start_sample < last.end_sample and last.start_sample < piece.end_sample
    if not overlaps or piece.start_sample <= last.start_sample:
        return piece.text  # a piece that begins earlier is a second attempt: it stands for itself
    if piece.words:
        return " ".join(word.text for word in piece.words if _middle(piece, word) >= last.end_sample)
    return without_repeat(last.text, piece.text)


def without_repeat(before: str, text: str) -> str:
    """Drop the longest run of words that ends ``before`` and begins ``text``."""
    earlier, words = before.split(), text.split()
    for length in range(min(len(earlier), len(words)), 0, -1):
        if [word.lower() for word in earlier[-length:]] == [word.lower() for word in words[:length]]:
            return " ".join(words[length:])
    return text


def _middle(piece: HeardPiece, word: Word) -> int:
    return piece.start_sample + (word.start_sample + word.end_sample) // 2
