"""One row of the route table, and the one way from a request to a handler and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from lingua_scheduler.auth import ADMIN, READ, Identity, check_origin, require
from lingua_scheduler.http.port import SCHEDULER, SchedulerPort
from lingua_scheduler.http.problems import ProblemError
from lingua_scheduler.http.uploads import UPLOADS
from lingua_scheduler.nodes.capability import pairing_digest
from lingua_wire.codes import ErrorCode
from lingua_wire.ids import is_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

#: A JSON body of the API, without audio.
MAX_JSON_BYTES = 64 * 1024


class Guard(StrEnum):
    """Who may call, when authentication is on."""

    OPEN = "open"
    TOKEN = "token"  # noqa: S105 - a kind of guard
    READ = "read"
    ADMIN = "admin"


class Nothing(BaseModel):
    """No query parameters."""

    model_config = ConfigDict(extra="forbid")


Query = TypeVar("Query", bound=BaseModel)
Body = TypeVar("Body")


@dataclass(frozen=True, slots=True)
class Call(Generic[Query, Body]):
    """One request, read and checked."""

    scheduler: SchedulerPort
    request: web.Request
    identity: Identity
    query: Query
    body: Body

    def path_id(self, name: str) -> str:
        """Return an id of the path.

        :raises ProblemError: NOT_FOUND when it can't be an id at all.
        """
        value = self.request.match_info[name]
        if not is_id(value):
            raise ProblemError(ErrorCode.NOT_FOUND)
        return value

    async def check_pairing(self, code: str | None) -> None:
        """Look at a pairing code.

        :raises WireError: INVALID_PAIRING_CODE or RATE_LIMITED.
        """
        if code:
            asker = self.scheduler.pairing.asker(self.request, self.identity)
            await self.scheduler.pairing.check(pairing_digest(code), asker)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route: how it is called, who may, what it answers. The document and the router are both made from this.

    ``answer`` is the model of a JSON answer; with ``media`` the handler makes the response itself. ``errors`` are the
    codes beyond those every route of its kind can give (see :meth:`all_errors`). ``body_bytes`` bounds a JSON body.
    ``uploads`` are the media types of a body that is not JSON, with their schemas.
    """

    method: str
    path: str
    handler: Callable[[Call[Any, Any]], Awaitable[BaseModel | web.StreamResponse]]
    tag: str
    summary: str
    guard: Guard = Guard.READ
    query: type[BaseModel] = Nothing
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: int = 200
    media: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    uploads: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    errors: tuple[ErrorCode, ...] = ()
    body_bytes: int = MAX_JSON_BYTES
    internal: bool = False
    """Whether a second, private listener serves it too (metrics, health)."""

    def all_errors(self) -> tuple[ErrorCode, ...]:
        """List every code this route may answer with, sorted."""
        codes = {*self.errors, ErrorCode.INTERNAL_ERROR, ErrorCode.METHOD_NOT_ALLOWED}
        if self.query is not Nothing or self.body is not None or self.guard is not Guard.OPEN:
            codes.add(ErrorCode.INVALID_MESSAGE)
        if self.body is not None:
            codes |= {ErrorCode.TOO_LARGE, ErrorCode.UNSUPPORTED_FORMAT, ErrorCode.BUFFER_FULL}
        if "{" in self.path:
            codes.add(ErrorCode.NOT_FOUND)
        if self.guard is not Guard.OPEN:
            codes |= {ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN, ErrorCode.SCHEDULER_DEPENDENCY_DOWN}
        return tuple(sorted(codes))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Admit, read, call, answer."""
        scheduler = request.app[SCHEDULER]
        identity = await self._admit(scheduler, request)
        body = await self._read_body(request)
        answer = await self.handler(Call(scheduler, request, identity, self._read_query(request), body))
        if isinstance(answer, web.StreamResponse):
            return answer
        return web.Response(body=answer.model_dump_json().encode(), status=self.status, content_type="application/json")

    async def _admit(self, scheduler: SchedulerPort, request: web.Request) -> Identity:
        if self.guard is Guard.OPEN:
            return Identity()
        if self.method != "GET":  # a page of another origin must not act for the person who opens it
            check_origin(request.headers, scheduler.auth.rules.origins, strict=True)
        identity = await scheduler.auth.client(request.headers)
        if self.guard is Guard.ADMIN:
            require(identity, ADMIN)
        elif self.guard is Guard.READ:
            require(identity, READ)
        return identity

    def _read_query(self, request: web.Request) -> BaseModel:
        if len(request.query) > len(set(request.query)):
            raise ProblemError(ErrorCode.INVALID_MESSAGE, "A query parameter is there twice.")
        return self.query.model_validate(dict(request.query))

    async def _read_body(self, request: web.Request) -> BaseModel | None:
        if self.body is None or request.content_type in self.uploads:
            return None
        if request.content_type != "application/json":
            raise ProblemError(ErrorCode.UNSUPPORTED_FORMAT, "The body must be application/json.")
        return self.body.model_validate_json(await read_bytes(request, self.body_bytes))


async def read_bytes(request: web.Request, limit_bytes: int) -> bytes:
    """Read a whole body, and not a byte more than allowed.

    :raises ProblemError: TOO_LARGE; BUFFER_FULL, so much is being read from others already.
    """
    too_large = ProblemError(ErrorCode.TOO_LARGE, f"At most {limit_bytes} bytes are accepted here.")
    if (request.content_length or 0) > limit_bytes:
        raise too_large
    parts, size_bytes = [], 0
    with request.app[UPLOADS].begin() as upload:
        async for part in request.content.iter_any():
            size_bytes += len(part)
            if size_bytes > limit_bytes:
                raise too_large
            upload.add(len(part))
            parts.append(part)
        return b"".join(parts)
