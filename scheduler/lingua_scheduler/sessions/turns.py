"""Turns: runs of utterances of one speaker. A node keeps the tail of a long piece under the turn's id."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def new_turn_id() -> str:
    """Make a random 128-bit id that is safe inside keys."""
    return secrets.token_hex(16)


class Turns:
    """Name the turn of each utterance of one session."""

    __slots__ = ("_current", "_ending", "_new_id")

    def __init__(self, new_id: Callable[[], str] = new_turn_id) -> None:
        self._new_id = new_id
        self._current: str | None = None
        self._ending = False

    @property
    def open(self) -> bool:
        """Tell whether a piece of the current turn was cut and more of the same turn must follow."""
        return self._current is not None

    @property
    def turn_id(self) -> str:
        """Name the turn that is open; empty: none is."""
        return self._current or ""

    def go_on(self, turn_id: str) -> None:
        """Go on with a turn that was left open elsewhere."""
        self._current = turn_id or None

    def end_with_next(self) -> None:
        """End the turn with its next piece, however that is cut.

        For a change of languages in mid-turn: a node keeps audio by turn and target language, so the turn must be
        closed in the old language before the new one applies.
        """
        self._ending = True

    def continues(self, *, speech_goes_on: bool) -> bool:
        """Tell whether the piece about to be cut leaves its turn open."""
        return speech_goes_on and not self._ending

    def piece(self, *, continues: bool) -> str:
        """Name the turn of an utterance just cut; the turn stays open only if it ``continues``."""
        turn_id = self._current or self._new_id()
        self._current = turn_id if continues else None
        if not continues:
            self._ending = False
        return turn_id
