"""The exit codes of the ``lingua`` command: one table."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from lingua_client.errors import AudioError, CannotReachError, LinguaError, NotFoundError, RefusedError


class ExitCode(IntEnum):
    """What the command's exit code says; docs/client.md shows the same table."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CANNOT_REACH = 3
    REFUSED = 4
    NOT_FOUND = 5
    BAD_INPUT = 6
    INTERRUPTED = 130


MEANINGS: Final = {
    ExitCode.OK: "it was done",
    ExitCode.FAILED: "it was tried and failed",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.CANNOT_REACH: "nobody answers at the address, or the connection broke",
    ExitCode.REFUSED: "the service said no (token, pair, limit, no capacity)",
    ExitCode.NOT_FOUND: "the job, node or pair is not there",
    ExitCode.BAD_INPUT: "a file or the microphone cannot be used",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C or a signal",
}

#: The first kind that fits decides.
_BY_ERROR: Final[tuple[tuple[type[LinguaError], ExitCode], ...]] = (
    (CannotReachError, ExitCode.CANNOT_REACH),
    (NotFoundError, ExitCode.NOT_FOUND),
    (RefusedError, ExitCode.REFUSED),
    (AudioError, ExitCode.BAD_INPUT),
)
_BY_CODE: Final = {
    "WS_DISCONNECTED": ExitCode.CANNOT_REACH,
    "BAD_URL": ExitCode.USAGE,
    "BAD_SETTINGS": ExitCode.USAGE,
    "USAGE": ExitCode.USAGE,
}


def exit_code(error: LinguaError) -> ExitCode:
    """Choose the exit code for an error of the library."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)
