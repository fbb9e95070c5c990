"""How far a client has come in a session: which events it has, and which audio has its outcome. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Position:
    """``last_seq``: all numbered events up to it are here. All samples before ``sample`` and all utterances before
    ``index`` have their outcome."""

    last_seq: int = 0
    sample: int = 0
    index: int = 0

    def is_new(self, seq: int | None) -> bool:
        """Tell whether an event was not here before; events without a number always count as new."""
        return seq is None or seq > self.last_seq

    def saw(self, seq: int | None, consumed: int | None = None, outcome_of: int | None = None) -> None:
        """Note an event, which says how far outcomes reach with it and may be an outcome itself."""
        self.last_seq = max(self.last_seq, seq or 0)
        self.sample = max(self.sample, consumed or 0)
        if outcome_of is not None:
            self.index = max(self.index, outcome_of + 1)
