"""What is still owed to the user of a session: which utterances wait for their outcome. Pure.

A service that reports finalizes (``finalize_reports``) names each utterance when it is cut, so what is owed is known
exactly. A service that does not is asked less: each finalize of heard audio is one expected outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(slots=True)
class Ledger:
    """Count finalizes that wait for their report and utterances that wait for their outcome; drop second outcomes."""

    reports: bool
    _asked: set[str] = field(default_factory=set)
    _open: set[int] = field(default_factory=set)
    _ended: set[int] = field(default_factory=set)
    _unreported: int = 0

    @property
    def settled(self) -> bool:
        """Tell whether nothing is owed."""
        return not (self._asked or self._open or self._unreported > 0)

    @property
    def owed(self) -> int:
        """Count what is owed."""
        return len(self._asked) + len(self._open) + max(0, self._unreported)

    @property
    def unanswered(self) -> frozenset[str]:
        """Name the finalizes whose report did not come."""
        return frozenset(self._asked)

    def goes_on_at(self, utterance_index: int, sent_again: Collection[str]) -> None:
        """Go on after a resume: what was cut from this index on is cut again.

        :param sent_again: names of the finalizes that are sent again, each to be answered.
        """
        self._open = {index for index in self._open if index < utterance_index}
        if self.reports:
            self._asked = set(sent_again)

    def finalize_sent(self, client_id: str) -> None:
        """Note that the end of an utterance was sent, under this client's own id."""
        if self.reports:
            self._asked.add(client_id)
        else:
            self._unreported += 1

    def utterance_sent(self, utterance_index: int) -> None:
        """Note a whole utterance, sent under an index of the client's choice."""
        self._open.add(utterance_index)

    def finalized(self, utterance_index: int, client_id: str | None) -> None:
        """Note the report of a cut: the utterance is open unless its outcome came first."""
        self._asked.discard(client_id or "")
        if utterance_index not in self._ended:
            self._open.add(utterance_index)

    def skipped(self, client_id: str | None) -> None:
        """Note the report that a finalize made no utterance."""
        self._asked.discard(client_id or "")

    def ended(self, utterance_index: int) -> bool:
        """Note an outcome; False when this utterance had one already, and this one must not reach the user."""
        if utterance_index in self._ended:
            return False
        self._ended.add(utterance_index)
        if not self.reports and utterance_index not in self._open:
            self._unreported -= 1
        self._open.discard(utterance_index)
        return True
