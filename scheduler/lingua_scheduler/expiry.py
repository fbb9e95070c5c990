"""A connection lasts no longer than the credential it was opened with."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: The calendar may be set while a connection lives, so it is looked at again and again.
LOOK_S: Final = 60.0


class Expiry:
    """Calls ``act`` once the credential has run out; never, if ``expires_s`` (Unix time) is None."""

    def __init__(self, expires_s: float | None, act: Callable[[], None]) -> None:
        self._expires_s = expires_s
        self._act = act
        self._timer: asyncio.TimerHandle | None = None
        self._look()

    def stop(self) -> None:
        """Look no more: the connection is over."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        if self._expires_s is None:
            return
        left_s = self._expires_s - time.time()
        if left_s <= 0:
            self._act()
            return
        self._timer = asyncio.get_running_loop().call_later(min(left_s + 0.01, LOOK_S), self._look)
