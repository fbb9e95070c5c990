"""How much of unfinished request bodies this instance holds: each is bounded, and so are all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

from lingua_scheduler.http.problems import ProblemError
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from types import TracebackType

#: Sixteen recordings of the largest size that come at the same moment; what has come whole counts as audio held.
LIMIT_BYTES: Final = 64 * 1024 * 1024


class Uploads:
    """All bodies that are being read."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0

    def begin(self) -> Upload:
        """Count a body from now on, until its context ends."""
        return Upload(self)


class Upload:
    """One body that is being read."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._uploads.held_bytes -= self._bytes

    def add(self, size_bytes: int) -> None:
        """Count what came.

        :raises ProblemError: BUFFER_FULL, all bodies together are as large as they may be.
        """
        if self._uploads.held_bytes + size_bytes > self._uploads.limit_bytes:
            raise ProblemError(ErrorCode.BUFFER_FULL, "Too many large requests are being read at this moment.")
        self._uploads.held_bytes += size_bytes
        self._bytes += size_bytes


UPLOADS: Final = web.AppKey("uploads", Uploads)
