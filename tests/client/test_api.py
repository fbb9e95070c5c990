"""Asking the HTTP API: pages are followed, refusals are typed, strangers are recognised."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from lingua_client.api import Api
from lingua_client.errors import (
    CannotReachError,
    LinguaError,
    NoCapacityError,
    NotFoundError,
    ProtocolError,
    RefusedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ITEMS = [{"n": n} for n in range(1200)]


async def listing(request: web.Request) -> web.Response:
    start, limit = int(request.query.get("cursor", 0)), int(request.query["limit"])
    end = start + limit
    cursor = str(end) if end < len(ITEMS) else None
    return web.json_response({"items": ITEMS[start:end], "next_cursor": cursor})


async def refusing(request: web.Request) -> web.Response:
    status = int(request.match_info["status"])
    body = {"code": "THE_CODE", "detail": "the detail"}
    return web.json_response(body, status=status, headers={"Retry-After": "3"}, content_type="application/problem+json")


async def stranger(request: web.Request) -> web.Response:
    return web.Response(text="<html>hello</html>", status=int(request.query.get("status", 200)))


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"query": dict(request.query), "token": request.headers.get("Authorization")})


@asynccontextmanager
async def service() -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.get("/items", listing), web.get("/refuse/{status}", refusing), web.get("/stranger", stranger)])
    app.add_routes([web.get("/echo", echo), web.post("/echo", echo)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("limit", [1, 500, 501, 1200, 5000])
async def test_pages_are_followed_up_to_the_limit(limit: int) -> None:
    async with service() as url, Api(url) as api:
        assert await api.pages("/items", "items", limit) == ITEMS[:limit]


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFoundError), (403, RefusedError), (503, NoCapacityError), (500, LinguaError)]
)
async def test_a_problem_document_becomes_a_typed_error(status: int, kind: type[LinguaError]) -> None:
    async with service() as url, Api(url) as api:
        with pytest.raises(kind) as refused:
            await api.get(f"/refuse/{status}")
    assert (refused.value.code, refused.value.message) == ("THE_CODE", "the detail")


async def test_a_server_that_is_no_scheduler_is_recognised() -> None:
    async with service() as url, Api(url) as api:
        with pytest.raises(ProtocolError) as strange:
            await api.get("/stranger")
        with pytest.raises(NotFoundError):
            await api.get("/stranger", status=404)
    assert strange.value.code == "NOT_A_SCHEDULER"


async def test_the_token_goes_along_and_absent_query_values_do_not() -> None:
    async with service() as url, Api(url, token="t0k") as api:
        assert await api.post("/echo", a=1, b=None) == {"query": {"a": "1"}, "token": "Bearer t0k"}


async def test_nobody_there_is_a_typed_error() -> None:
    async with Api("127.0.0.1:1") as api:
        with pytest.raises(CannotReachError, match="connection refused"):
            await api.get("/echo")
