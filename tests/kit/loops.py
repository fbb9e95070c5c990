"""An event loop that knows when its last socket is closed."""

from __future__ import annotations

import asyncio
import selectors

from kit.eventually import eventually

#: A safety on a busy machine, not an expectation.
_CLOSE_S = 20.0


class SocketsLoop(asyncio.SelectorEventLoop):
    """For a thread that must leave no socket open: closing one later is a warning in whatever test runs then."""

    def __init__(self) -> None:
        self._watched = selectors.DefaultSelector()
        super().__init__(self._watched)
        self._own = len(self._watched.get_map())

    async def until_closed(self) -> None:
        """Wait until all sockets are closed: those of TLS wait for the other side's goodbye."""
        await eventually(lambda: len(self._watched.get_map()) <= self._own, within_s=_CLOSE_S, what="no socket is open")
