"""How many sessions may begin in a second: after a loss that meets everybody, all come back at once. Pure."""

from __future__ import annotations

import math
from typing import Final

#: Nobody is asked to stay away for longer.
LONGEST_S: Final = 20
#: This process is late with all it does: who is here already comes first.
LATE_S: Final = 0.1
#: The least part of the pace that is kept up however late it is, and by how much more it grows back at each look.
_LEAST, _BACK = 0.2, 0.1


class Admission:
    """Let ``per_s`` in a second, and as many more at once after a quiet second; fewer while this process is late.

    Who is refused is told when to come again: the place behind all who were refused before, so that they do not all
    come at the same moment again. Places are not kept for them.
    """

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._share = 1.0
        self._free_s = 0.0
        self._promised_s = 0.0

    def look(self, late_s: float) -> None:
        """Note by how much this process is late; asked each half second."""
        self._share = max(_LEAST, self._share / 2) if late_s > LATE_S else min(1.0, self._share + _BACK)

    def ask(self, now_s: float) -> int | None:
        """Ask to come in; None: yes, else in how many seconds to ask again."""
        step_s = 1 / (self._per_s * self._share)
        self._free_s = max(self._free_s, now_s - 1.0)
        if self._free_s <= now_s:
            self._free_s += step_s
            return None
        self._promised_s = max(self._promised_s, self._free_s) + step_s
        if self._promised_s > now_s + LONGEST_S:
            self._promised_s = now_s  # the next ones are spread over the same time again
            return LONGEST_S
        return math.ceil(self._promised_s - now_s)
