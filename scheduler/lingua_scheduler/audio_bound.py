"""How much audio this instance holds, against its bound. Sessions add and take away; nobody else counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from prometheus_client import Gauge


class BufferFullError(WireError):
    """There is no room for more audio. ``scope``: whose bound it is, the ``session``'s or the ``instance``'s."""

    def __init__(self, scope: str, message: str) -> None:
        super().__init__(ErrorCode.BUFFER_FULL, message)
        self.scope = scope


class AudioBound:
    """The audio of all sessions of one instance."""

    def __init__(self, limit_bytes: int, gauge: Gauge) -> None:
        self._limit_bytes = limit_bytes
        self.held_bytes = 0
        gauge.set_function(lambda: self.held_bytes)

    def fits(self, more_bytes: int) -> bool:
        """Tell whether so much more may be taken."""
        return self.held_bytes + more_bytes <= self._limit_bytes

    def add(self, size_bytes: int) -> None:
        """Count audio taken (or, negative, let go)."""
        self.held_bytes += size_bytes
