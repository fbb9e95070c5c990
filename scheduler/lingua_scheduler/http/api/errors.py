"""The page behind the ``type`` of each problem document."""

from __future__ import annotations

from lingua_scheduler.http.endpoint import Call, Endpoint, Guard, Nothing
from lingua_scheduler.http.models.common import ErrorCodeView
from lingua_scheduler.http.problems import ProblemError
from lingua_wire.codes import CODES, ErrorCode


async def show(call: Call[Nothing, None]) -> ErrorCodeView:
    """Answer what one error code means."""
    name = call.path_id("code")
    if name not in ErrorCode.__members__:
        raise ProblemError(ErrorCode.NOT_FOUND, "There is no such error code.")
    info = CODES[ErrorCode[name]]
    return ErrorCodeView(code=name, title=info.title, status=info.http_status, retryable=info.retryable)


ENDPOINTS = (
    Endpoint(
        "GET", "/problems/{code}", show, "errors", "What an error code means", guard=Guard.OPEN, answer=ErrorCodeView
    ),
)
