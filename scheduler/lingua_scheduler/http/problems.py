"""Errors as problem documents (RFC 9457), each with a ``code`` of the wire's one table."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from lingua_scheduler.auth import AuthError
from lingua_scheduler.http.port import SCHEDULER
from lingua_state.errors import JobMissing, NoNode, QueueFull, StateError, StoreRefused, StoreUnavailable
from lingua_state.pages import BadCursor
from lingua_wire.codes import CODES, ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

#: How long a caller should wait before the same call again, where nothing better is known.
RETRY_AFTER_S = {
    ErrorCode.STORE_UNAVAILABLE: 2,
    ErrorCode.SCHEDULER_DEPENDENCY_DOWN: 5,
    ErrorCode.DRAINING: 1,
    ErrorCode.NO_AVAILABLE_NODE: 5,
    ErrorCode.QUEUE_FULL: 5,
    ErrorCode.RATE_LIMITED: 5,
    ErrorCode.SESSION_LIMIT: 5,
    ErrorCode.BUFFER_FULL: 2,
}
_DEFAULT_RETRY_AFTER_S = 5

_MAX_FINDINGS = 10

#: Refusals of the store that a caller of the API may meet.
_REFUSALS = {
    NoNode.code: ErrorCode.NO_AVAILABLE_NODE,
    QueueFull.code: ErrorCode.QUEUE_FULL,
    JobMissing.code: ErrorCode.NOT_FOUND,
}


class ProblemError(Exception):
    """An answer that is an error. ``errors`` names the fields that were wrong; never what was in them.

    ``retry_after_s``: when to try again, where something better is known than :data:`RETRY_AFTER_S`.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail or CODES[code].title)
        self.retry_after_s = retry_after_s
        self.code = code
        self.detail = detail
        self.errors = errors


def document(problem: ProblemError) -> dict[str, Any]:
    """Return the problem as RFC 9457 writes it, with ``code``, ``retryable`` and ``errors`` beside."""
    info = CODES[problem.code]
    told: dict[str, Any] = {
        "type": f"/problems/{problem.code}",
        "title": info.title,
        "status": info.http_status,
        "detail": problem.detail or info.title,
        "code": str(problem.code),
        "retryable": info.retryable,
    }
    if problem.errors:
        told["errors"] = list(problem.errors)
    return told


def response(problem: ProblemError, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the answer for a problem, with ``Retry-After`` or ``WWW-Authenticate`` where they apply."""
    info = CODES[problem.code]
    told = dict(headers or {})
    if info.retryable and info.http_status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        wait_s = problem.retry_after_s or RETRY_AFTER_S.get(problem.code, _DEFAULT_RETRY_AFTER_S)
        told["Retry-After"] = str(wait_s)
    if problem.code is ErrorCode.UNAUTHENTICATED:
        told["WWW-Authenticate"] = 'Bearer realm="lingua"'
    body = orjson.dumps(document(problem))
    return web.Response(body=body, status=info.http_status, content_type=CONTENT_TYPE, headers=told)


def from_validation(error: ValidationError) -> ProblemError:
    """Tell which fields were wrong and what was wanted, without repeating what was sent."""
    findings = [
        {"field": ".".join(str(part) for part in found["loc"])[:100] or "body", "message": found["msg"][:200]}
        for found in error.errors(include_url=False, include_context=False, include_input=False)[:_MAX_FINDINGS]
    ]
    first = findings[0]
    return ProblemError(ErrorCode.INVALID_MESSAGE, f"{first['field']}: {first['message']}", errors=findings)


def from_state(error: StateError) -> ProblemError:
    """Translate a refusal of the store; trouble in reaching it is one code, whatever the trouble."""
    if isinstance(error, StoreUnavailable | StoreRefused):
        return ProblemError(ErrorCode.STORE_UNAVAILABLE)
    if error.code in _REFUSALS:
        return ProblemError(_REFUSALS[error.code])
    log.error("unexpected refusal of the store", extra={"code": error.code})
    return ProblemError(ErrorCode.INTERNAL_ERROR)


def from_http(error: web.HTTPException) -> ProblemError:
    """Translate an error of the web server itself: unknown route, wrong method, too large, malformed."""
    known = {
        HTTPStatus.NOT_FOUND: (ErrorCode.NOT_FOUND, "There is no such page."),
        HTTPStatus.METHOD_NOT_ALLOWED: (ErrorCode.METHOD_NOT_ALLOWED, ""),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (ErrorCode.TOO_LARGE, ""),
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (ErrorCode.UNSUPPORTED_FORMAT, ""),
    }
    fallback = ErrorCode.INTERNAL_ERROR if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else None
    code, detail = known.get(HTTPStatus(error.status), (fallback or ErrorCode.INVALID_MESSAGE, ""))
    return ProblemError(code, detail)


def from_exception(error: Exception) -> ProblemError:
    """Find the problem for anything a handler raised; what nobody foresaw is logged and told as INTERNAL_ERROR."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, WireError | AuthError):
        return ProblemError(error.code, error.message, retry_after_s=getattr(error, "retry_after_s", None))
    if isinstance(error, ValidationError):
        return from_validation(error)
    if isinstance(error, StateError):
        return from_state(error)
    if isinstance(error, BadCursor):
        return ProblemError(ErrorCode.INVALID_MESSAGE, "cursor: no page of this list gave it.")
    log.error("a request failed unexpectedly", exc_info=error)
    return ProblemError(ErrorCode.INTERNAL_ERROR)


def is_upgrade(request: web.Request) -> bool:
    """Say whether the request asks for a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with a problem document, before an upgrade too.

    What breaks on an open socket is not touched: it is no longer HTTP.
    """
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        problem, headers = from_http(error), {k: v for k, v in error.headers.items() if k == "Allow"}
    except (ProblemError, WireError, AuthError, ValidationError, StateError, BadCursor) as error:
        problem, headers = from_exception(error), {}
    except Exception as error:
        if is_upgrade(request) and isinstance(error, ConnectionError):
            return web.Response(status=HTTPStatus.REQUEST_TIMEOUT)  # whoever asked is gone, and reads it no more
        if is_upgrade(request):
            raise
        problem, headers = from_exception(error), {}
    _count(request, problem)
    return response(problem, headers)


def _count(request: web.Request, problem: ProblemError) -> None:
    scheduler = request.app.get(SCHEDULER)
    if scheduler is not None:
        scheduler.metrics.errors.of("http", str(problem.code)).inc()
