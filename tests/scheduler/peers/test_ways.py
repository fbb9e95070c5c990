"""Of several ways to a peer the first is taken, and nothing of the others is left."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientError, ClientSession, web

from kit.eventually import eventually
from lingua_scheduler.peers.ways import Way, first_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def failed(word: str) -> asyncio.Future[Way]:
    future = asyncio.get_running_loop().create_future()
    future.set_exception(ClientError(word))
    return future


def opened(way: Way) -> asyncio.Future[Way]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(way)
    return future


@asynccontextmanager
async def ways(count: int) -> AsyncIterator[list[Way]]:
    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with ClientSession() as http:
        yield [Way(await http.ws_connect(f"http://127.0.0.1:{port}/"), True) for _ in range(count)]
    await runner.cleanup()


async def test_a_way_that_fails_as_another_opens_is_not_forgotten() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with ways(1) as (way,):
        for _ in range(8):  # which of two that are done is looked at first is not said
            assert await first_of(opened(way), failed("not needed")) is way
            gc.collect()
    assert told == []


async def test_of_two_that_open_at_once_one_is_closed() -> None:
    async with ways(2) as (first, second):
        taken = await first_of(opened(first), opened(second))
        assert not taken.socket.closed
        (other,) = {first, second} - {taken}
        await eventually(lambda: other.socket.closed, what="the other way is closed")


async def test_where_none_opens_the_last_trouble_is_told() -> None:
    with pytest.raises(ClientError):
        await first_of(failed("one"), failed("two"))
