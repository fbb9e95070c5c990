"""How many sessions may begin in a second: after a loss that meets everybody, all come back at once. Pure."""

from __future__ import annotations

import math
from typing import Final

#: Nobody is asked to stay away for longer.
LONGEST_S: Final = 20


class Admission:
    """Let ``per_s`` in a second, and as many more at once after a quiet second.

    Who is refused is told when to come again: the place behind all who were refused before, so that they do not all
    come at the same moment again. Places are not kept for them.
    """

    def __init__(self, per_s: int) -> None:
        self._step_s = 1 / per_s
        self._free_s = 0.0
        self._promised_s = 0.0

    def ask(self, now_s: float) -> int | None:
        """Ask to come in; None: yes, else in how many seconds to ask again."""
        self._free_s = max(self._free_s, now_s - 1.0)
        if self._free_s <= now_s:
            self._free_s += self._step_s
            return None
        self._promised_s = max(self._promised_s, self._free_s) + self._step_s
        if self._promised_s > now_s + LONGEST_S:
            self._promised_s = now_s  # the next ones are spread over the same time again
            return LONGEST_S
        return math.ceil(self._promised_s - now_s)
