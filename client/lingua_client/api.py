"""The scheduler's HTTP API for tools: typed errors instead of statuses, plain dictionaries as they were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import aiohttp

from lingua_client import address, refusals
from lingua_client.errors import ProtocolError

if TYPE_CHECKING:
    from types import TracebackType

TIMEOUT_S = 10.0


class Api:
    """Ask one scheduler: ``async with Api(url, token=...) as api: await api.get("/api/v1/nodes")``."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address.parse(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        self._http = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Close the connection pool."""
        if self._http is not None:
            await self._http.close()

    async def get(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """Get a JSON document; query values that are None are left out.

        :raises CannotReachError: nobody answers.
        :raises RefusedError: (and its kinds) the scheduler said no.
        """
        return await self._ask("GET", path, query)

    async def post(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """Post without a body; otherwise as :meth:`get`."""
        return await self._ask("POST", path, query)

    async def pages(self, path: str, items: str, limit: int, **query: str | int | None) -> list[dict[str, Any]]:
        """Collect at most ``limit`` of the list called ``items`` over as many pages as that takes."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while len(found) < limit:
            page = await self.get(path, **query, limit=min(limit - len(found), 500), cursor=cursor)
            found += page.get(items, [])
            cursor = page.get("next_cursor")
            if not cursor:
                break
        return found[:limit]

    async def _ask(self, method: str, path: str, query: dict[str, str | int | None]) -> dict[str, Any]:
        assert self._http is not None, "use: async with Api(...) as api"  # noqa: S101 - a mistake of the programmer
        url = self.address.api(path)
        params = {name: value for name, value in query.items() if value is not None}
        try:
            async with self._http.request(method, url, params=params) as answer:
                return await _document(answer)
        except (TimeoutError, aiohttp.ClientError, OSError) as trouble:
            raise refusals.unreachable(self.address.http, trouble) from trouble


async def _document(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        body = await answer.json(content_type=None)
    except ValueError:
        body = None
    if answer.status >= 400:
        retry_after = answer.headers.get("Retry-After")
        raise refusals.from_status(answer.status, body if isinstance(body, dict) else None, retry_after)
    if not isinstance(body, dict):
        raise ProtocolError("NOT_A_SCHEDULER", "the answer is not from a Lingua scheduler", "Check the address.")
    return body
