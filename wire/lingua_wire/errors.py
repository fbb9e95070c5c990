"""The one error that reading the wire can raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lingua_wire.codes import CloseCode, ErrorCode


class WireError(Exception):
    """Something a peer sent can't be accepted.

    ``close`` is the close code to use when the connection can't go on; None: answer with an ``error`` and go on.
    ``retry_after_s`` is when the same may be tried again, where that is known.
    The message names fields and limits, never values a person may have spoken.
    """

    def __init__(
        self, code: ErrorCode, message: str, *, close: CloseCode | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.close = close
        self.retry_after_s = retry_after_s

    @property
    def fatal(self) -> bool:
        """Tell whether the connection can't go on."""
        return self.close is not None
