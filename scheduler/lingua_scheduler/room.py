"""Room for connections: the system's bound on descriptors, less what this process needs to go on at all.

Without it the last descriptor would go to whoever comes, and the store could not be reached again after it was away.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Final, cast

import orjson

from lingua_scheduler.http.problems import CONTENT_TYPE, RETRY_AFTER_S, ProblemError, document
from lingua_wire.codes import CODES, ErrorCode

#: For the store, other instances, the listeners, and what the libraries open for a moment.
RESERVED: Final = 64


def most_connections() -> int:
    """Tell how many connections may be open at once."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, soft - RESERVED) if soft != resource.RLIM_INFINITY else 1 << 30


class NoRoom(asyncio.Protocol):
    """Tells a newcomer, whatever it wanted, to come again later, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer before anything was asked: reading would keep the descriptor."""
        way = cast("asyncio.Transport", transport)
        way.write(_ANSWER)
        way.close()


def _answer() -> bytes:
    code = ErrorCode.SESSION_LIMIT
    body = orjson.dumps(document(ProblemError(code, "this instance has no room for another connection")))
    lines = [
        f"HTTP/1.1 {CODES[code].http_status} Service Unavailable",
        f"Content-Type: {CONTENT_TYPE}",
        f"Retry-After: {RETRY_AFTER_S[code]}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


_ANSWER: Final = _answer()
