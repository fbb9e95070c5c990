"""The doorkeeper before a real web server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from kit.eventually import eventually
from lingua_scheduler.doorkeeper import CROWDED_S, KEPT_S, Doorkeeper, Entrance
from lingua_scheduler.room import RESERVED, most_connections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def _hold(request: web.Request) -> web.WebSocketResponse:
    held = web.WebSocketResponse()
    await held.prepare(request)
    async for _ in held:
        pass
    return held


async def _answer(request: web.Request) -> web.Response:
    return web.Response(text=request.path)


@asynccontextmanager
async def door(keeper: Doorkeeper) -> AsyncIterator[tuple[web.Server, int]]:
    app = web.Application(middlewares=[_refusals, keeper.admit])
    app.router.add_get("/socket", _hold)
    app.router.add_get("/plain", _answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    await Entrance(runner, runner.server, ("127.0.0.1", 0), keeper).start()
    try:
        yield runner.server, runner.addresses[0][1]
    finally:
        await runner.cleanup()


@web.middleware
async def _refusals(request: web.Request, handler: object) -> web.StreamResponse:
    from lingua_scheduler.http.problems import problems

    return await problems(request, handler)  # type: ignore[arg-type]  # aiohttp's own


async def test_half_a_request_is_let_go_when_its_time_is_over() -> None:
    keeper = Doorkeeper(10, 0)
    async with door(keeper) as (server, port):
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(b"GET /plain HTTP/1.1\r\nHost: here\r\n")
            await eventually(lambda: len(server.connections) == 1)
            keeper.look(server.connections, 9.9)
            assert len(server.connections) == 1
            keeper.look(server.connections, 10.0)
            await eventually(lambda: len(server.connections) == 0)


async def test_an_open_socket_is_kept_however_long_it_is_open() -> None:
    keeper = Doorkeeper(10, 0)
    async with (
        door(keeper) as (server, port),
        aiohttp.ClientSession() as http,
        http.ws_connect(f"http://127.0.0.1:{port}/socket") as held,
    ):
        for now_s in (0.0, 1e3, 1e6):
            keeper.look(server.connections, now_s)
        await held.ping()
        assert not held.closed
        assert len(server.connections) == 1


async def test_a_connection_that_was_used_may_wait_longer_for_its_next_request() -> None:
    keeper = Doorkeeper(10, 0)
    async with door(keeper) as (server, port), aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.1:{port}/plain") as answer:
            assert await answer.text() == "/plain"
        keeper.look(server.connections, 0.0)
        keeper.look(server.connections, KEPT_S - 1)
        assert len(server.connections) == 1
        keeper.look(server.connections, KEPT_S)
        await eventually(lambda: len(server.connections) == 0)


async def test_an_address_gets_only_so_many_sockets_and_one_again_when_one_closes() -> None:
    async with door(Doorkeeper(10, 2)) as (_, port), aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}"
        held = [await http.ws_connect(url + "/socket") for _ in range(2)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(url + "/socket")
        assert refused.value.status == 429
        async with http.get(url + "/plain") as answer:
            assert answer.status == 200, "requests are not sockets"
        await held.pop().close()

        async def let_in_again() -> bool:
            with contextlib.suppress(aiohttp.WSServerHandshakeError):
                held.append(await http.ws_connect(url + "/socket"))
                return True
            return False

        await eventually(let_in_again)
        for one in held:
            await one.close()


def half_a_request(port: int, source: str = "127.0.0.1") -> socket.socket:
    half = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
    half.sendall(b"GET /plain HTTP/1.1\r\nHost: here\r\n")
    return half


async def test_patience_is_short_while_very_many_wait() -> None:
    keeper = Doorkeeper(10, 0, crowd=3)
    async with door(keeper) as (server, port):
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(half_a_request(port))
            await eventually(lambda: len(server.connections) == 3)
            keeper.look(server.connections, CROWDED_S)
            assert keeper.turned_away == 0
            stack.enter_context(half_a_request(port))
            await eventually(lambda: len(server.connections) == 4)
            keeper.look(server.connections, CROWDED_S / 2)
            assert keeper.turned_away == 0
            keeper.look(server.connections, CROWDED_S)
            assert keeper.turned_away == 4
            await eventually(lambda: len(server.connections) == 0)


async def test_of_an_address_that_lets_too_many_wait_the_oldest_goes() -> None:
    keeper = Doorkeeper(10, 2)
    async with door(keeper) as (server, port), aiohttp.ClientSession() as http:
        with contextlib.ExitStack() as stack:
            stranger = stack.enter_context(half_a_request(port, "127.0.0.2"))
            await eventually(lambda: len(server.connections) == 1)
            held = [stack.enter_context(half_a_request(port)) for _ in range(2)]
            await eventually(lambda: len(server.connections) == 3)
            assert keeper.turned_away == 0
            async with http.get(f"http://127.0.0.1:{port}/plain") as answer:
                assert answer.status == 200
            await eventually(lambda: keeper.turned_away == 1)
            assert await asyncio.to_thread(is_ended, held[0])
            assert not await asyncio.to_thread(is_ended, held[1])
            assert not await asyncio.to_thread(is_ended, stranger)


def is_ended(half: socket.socket) -> bool:
    half.settimeout(0.2)
    try:
        return not half.recv(1)
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def test_who_comes_when_all_descriptors_but_the_own_ones_are_used_is_told_to_come_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lingua_scheduler.doorkeeper.most_connections", lambda: 2)
    keeper = Doorkeeper(10, 0)
    async with door(keeper) as (server, port), aiohttp.ClientSession() as http:
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            await eventually(lambda: keeper.held == 2)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            told = (await reader.read()).decode()
            writer.close()
            head, _, body = told.partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 503 ")
            assert "\r\nRetry-After: 5\r\n" in head
            assert json.loads(body)["code"] == "SESSION_LIMIT"
            assert keeper.turned_away == 1
        await eventually(lambda: not server.connections)
        keeper.look(server.connections, 1.0)
        async with http.get(f"http://127.0.0.1:{port}/plain") as answer:
            assert answer.status == 200


def test_some_descriptors_are_kept_for_what_keeps_the_process_going(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert most_connections() == 256 - RESERVED
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert most_connections() > 1_000_000
