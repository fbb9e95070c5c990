"""From what a service answered to the error a caller gets: HTTP statuses, problem documents, close codes. Pure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from lingua_client.errors import (
    CannotReachError,
    LinguaError,
    NoCapacityError,
    NotFoundError,
    RefusedError,
    SessionEndedError,
)
from lingua_wire.codes import CODES, NEVER_RETRY, CloseCode, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Mapping

#: HTTP status -> code, where the answer has no problem document (a failed upgrade shows only its status).
_STATUS_CODES: Final = {
    400: ErrorCode.INVALID_MESSAGE,
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    409: ErrorCode.CONFLICT,
    413: ErrorCode.TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_FORMAT,
    422: ErrorCode.PAIR_NOT_OFFERED,
    429: ErrorCode.RATE_LIMITED,
    503: ErrorCode.SESSION_LIMIT,
}

#: Close code -> error code, where no ``error`` came before it.
_CLOSE_CODES: Final = {
    CloseCode.NORMAL: ErrorCode.SESSION_CLOSED,
    CloseCode.GOING_AWAY: ErrorCode.DRAINING,
    CloseCode.WRONG_FRAME_KIND: ErrorCode.INVALID_MESSAGE,
    CloseCode.BAD_DATA: ErrorCode.INVALID_MESSAGE,
    CloseCode.POLICY: ErrorCode.INVALID_MESSAGE,
    CloseCode.TOO_BIG: ErrorCode.TOO_LARGE,
    CloseCode.INTERNAL: ErrorCode.INTERNAL_ERROR,
    CloseCode.RESTART: ErrorCode.DRAINING,
    CloseCode.TRY_LATER: ErrorCode.SESSION_LIMIT,
    CloseCode.BAD_SETTINGS: ErrorCode.INVALID_MESSAGE,
    CloseCode.UNAUTHENTICATED: ErrorCode.UNAUTHENTICATED,
    CloseCode.FORBIDDEN: ErrorCode.FORBIDDEN,
    CloseCode.UNKNOWN_SESSION: ErrorCode.INVALID_SESSION,
    CloseCode.IDLE: ErrorCode.IDLE_TIMEOUT,
    CloseCode.REPLACED: ErrorCode.SESSION_REPLACED,
    CloseCode.RESUME_OVER: ErrorCode.SESSION_CLOSED,
    CloseCode.AUDIO_FORMAT: ErrorCode.UNSUPPORTED_FORMAT,
    CloseCode.PAIR_NOT_OFFERED: ErrorCode.PAIR_NOT_OFFERED,
    CloseCode.RATE: ErrorCode.RATE_LIMITED,
    CloseCode.NO_NODE: ErrorCode.NO_AVAILABLE_NODE,
}
_NO_CAPACITY: Final = frozenset({CloseCode.GOING_AWAY, CloseCode.RESTART, CloseCode.TRY_LATER, CloseCode.NO_NODE})
_REFUSALS: Final = NEVER_RETRY | {CloseCode.BAD_SETTINGS, CloseCode.RATE}


def from_status(status: int, body: Mapping[str, Any] | None = None, retry_after: str | None = None) -> LinguaError:
    """Make the error for an HTTP answer of 400 or more; ``body`` is its problem document, where there is one."""
    body = body or {}
    code = str(body.get("code") or _STATUS_CODES.get(status, ErrorCode.INTERNAL_ERROR).value)
    message = str(body.get("detail") or body.get("title") or f"the service answered with HTTP status {status}")
    wait_s = float(retry_after) if retry_after and retry_after.isdigit() else None
    if status == 404:
        return NotFoundError(code, message)
    if status == 503:
        return NoCapacityError(code, message, retry_after_s=wait_s)
    if status >= 500:
        return LinguaError(code, message, "Look at the scheduler's log.")
    return RefusedError(code, message, retry_after_s=wait_s)


def from_close(close_code: int, last_error: tuple[str, str] | None = None) -> LinguaError:
    """Make the error for a socket that closed: ``last_error`` is the code and message of an ``error`` before it."""
    code, message = last_error or _closed(close_code)
    if close_code in _NO_CAPACITY:
        return NoCapacityError(code, message)
    if close_code in _REFUSALS:
        return RefusedError(code, message)
    return SessionEndedError(code, message, close_code=close_code)


def _closed(close_code: int) -> tuple[str, str]:
    code = next((code for close, code in _CLOSE_CODES.items() if close == close_code), ErrorCode.WS_DISCONNECTED)
    return code.value, CODES[code].title


def unreachable(url: str, cause: BaseException) -> CannotReachError:
    """Make the error for an address where nobody answers; the cause's words are for people (refused, timed out)."""
    number = getattr(getattr(cause, "os_error", cause), "errno", None)
    words = os.strerror(number).lower() if isinstance(number, int) and number > 0 else _words(cause)
    return CannotReachError("CANNOT_REACH", f"cannot reach {url}: {words}")


def _words(cause: BaseException) -> str:
    return "no answer in time" if isinstance(cause, TimeoutError) else str(cause) or type(cause).__name__
