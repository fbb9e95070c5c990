"""The retry policy, against real servers behind a proxy that loses replies."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.proxy import Proxy, proxy_to
from lingua_state import sessions
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.errors import StoreFault, StoreRefused, StoreUnavailable
from lingua_state.ids import new_session_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.redis_servers import Server


#: What takes a second at most may take this long on a busy machine; without its bound it would last for ever.
_BUSY_S = 20.0


@asynccontextmanager
async def through_proxy(server: Server, **settings: Any) -> AsyncIterator[tuple[Store, Proxy]]:
    async with proxy_to(server.process.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        chosen: dict[str, Any] = {"timeout_ms": 500, "retry_budget_ms": 3_000} | settings
        store = await open_store(RedisSettings(url=url, cell=server.cell, **chosen))
        try:
            yield store, proxy
        finally:
            await store.close()


async def attach(store: Store, session_id: str) -> int:
    return await sessions.attach(
        store,
        session_id=session_id,
        instance_id="s1",
        tenant="",
        source="en",
        target="es",
        mode="one_way",
        trace_id="",
        ttl_ms=60_000,
    )


async def answers(store: Store) -> bool:
    try:
        return bool(await store.call("PING") == "PONG")
    except StoreUnavailable:
        return False


async def test_a_lost_reply_does_not_double_the_effect(server: Server) -> None:
    async with through_proxy(server) as (store, proxy):
        session_id = new_session_id(store.cell)
        proxy.lose_replies = 1
        assert await attach(store, session_id) == 1
        assert proxy.lost == 1
        assert store.policy.retries >= 1
        record = await sessions.get(store, session_id)
        assert record is not None
        assert record.generation == 1


async def test_many_calls_in_flight_survive_a_lost_reply(server: Server) -> None:
    async with through_proxy(server) as (store, proxy):
        names = [new_session_id(store.cell) for _ in range(200)]
        proxy.lose_replies = 2
        got = await asyncio.gather(*(attach(store, name) for name in names))
        assert proxy.lost == 2
        assert got == [1] * 200
        assert await sessions.count(store) == 200


async def test_a_reset_connection_is_made_again(server: Server) -> None:
    async with through_proxy(server) as (store, proxy):
        before = store.shared.connects
        for _ in range(5):
            proxy.cut()
            assert await store.call("PING") == "PONG"
        assert store.shared.connects > before


async def test_a_silent_server_is_given_up_within_the_budget(valkey: Server) -> None:
    async with through_proxy(valkey, timeout_ms=500, retry_budget_ms=1_000) as (store, proxy):
        proxy.hold_replies = True
        began = time.monotonic()
        with pytest.raises(StoreUnavailable) as told:
            await store.call("PING")
        assert time.monotonic() - began < _BUSY_S
        assert told.value.__cause__ is not None
        assert proxy.held > 0
        proxy.hold_replies = False
        await eventually(lambda: answers(store))


async def test_a_server_that_is_not_there_is_told_within_the_budget() -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="cannot reach the store"):
        await open_store(RedisSettings(url="redis://127.0.0.1:1", retry_budget_ms=100))
    assert time.monotonic() - began < _BUSY_S


async def test_a_paused_server_is_waited_for(valkey: Server) -> None:
    async with through_proxy(valkey) as (store, _):
        await store.redis.client_pause(300)
        assert await store.call("SET", store.keys.epoch(), "x") == "OK"


async def test_a_cancelled_caller_disturbs_nobody(store: Store) -> None:
    async with asyncio.timeout(_BUSY_S):
        tasks = [asyncio.create_task(store.call("ECHO", str(n))) for n in range(100)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        got = await asyncio.gather(*tasks, return_exceptions=True)
    assert got[1::2] == [str(n) for n in range(1, 100, 2)]
    assert all(isinstance(one, asyncio.CancelledError) for one in got[::2])
    assert await store.call("ECHO", "after") == "after"


async def test_a_full_server_refuses_at_once_and_is_well_again_by_itself(valkey_store: Store) -> None:
    store = valkey_store
    limit = (await store.call("CONFIG", "GET", "maxmemory"))["maxmemory"]
    await store.call("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreRefused, match="OOM"):
            await store.scripts.run("epoch", [store.keys.epoch()], ["x"])
    finally:
        await store.call("CONFIG", "SET", "maxmemory", limit)
    assert await store.scripts.run("epoch", [store.keys.epoch()], ["x"]) == ["ok", "x"]


async def test_a_read_only_server_refuses_after_the_budget_and_is_well_again_by_itself(valkey: Server) -> None:
    async with through_proxy(valkey, retry_budget_ms=200) as (store, _):
        await store.redis.replicaof("127.0.0.1", "1")
        try:
            with pytest.raises(StoreRefused) as told:
                await store.scripts.run("epoch", [store.keys.epoch()], ["x"])
            assert told.value.code == "store_refused"
            assert store.policy.retries > 0
        finally:
            await store.redis.replicaof("NO", "ONE")
        assert await store.scripts.run("epoch", [store.keys.epoch()], ["x"]) == ["ok", "x"]


async def test_too_few_replicas_refuse_after_the_budget(valkey: Server) -> None:
    async with through_proxy(valkey, retry_budget_ms=100) as (store, _):
        await store.call("CONFIG", "SET", "min-replicas-to-write", "3")
        try:
            with pytest.raises(StoreRefused, match="NOREPLICAS"):
                await store.scripts.run("epoch", [store.keys.epoch()], ["x"])
        finally:
            await store.call("CONFIG", "SET", "min-replicas-to-write", "0")


async def test_a_command_that_is_wrong_is_a_fault_and_not_tried_again(store: Store) -> None:
    retries = store.policy.retries
    with pytest.raises(StoreFault, match="ERR"):
        await store.call("NOSUCHCOMMAND")
    await store.call("SET", store.keys.epoch(), "x")
    with pytest.raises(StoreFault, match="WRONGTYPE"):
        await store.call("HGETALL", store.keys.epoch())
    assert store.policy.retries == retries


@pytest.mark.parametrize("command", ["WAIT", "BLPOP", "SUBSCRIBE", "XREAD", "wait"])
async def test_what_would_hold_up_everybody_is_refused(valkey_store: Store, command: str) -> None:
    with pytest.raises(ValueError, match="hold up everybody"):
        await valkey_store.call(command, "1", "0")


async def test_a_script_cache_that_is_flushed_all_the_time_fails_nobody(server: Server, store: Store) -> None:
    async def some() -> list[int]:
        return [await attach(store, new_session_id(store.cell)) for _ in range(40)]

    attaching = asyncio.gather(*(some() for _ in range(8)))
    flushes = 0
    async with asyncio.timeout(20):
        while not attaching.done():
            await store.redis.script_flush()
            flushes += 1
    assert await attaching == [[1] * 40] * 8
    assert flushes > 10


async def test_a_call_beyond_the_bound_is_refused_at_once(valkey: Server) -> None:
    store = await open_store(RedisSettings(url=valkey.url, in_flight_limit=10))
    try:
        got = await asyncio.gather(*(store.call("PING") for _ in range(11)), return_exceptions=True)
        assert got[:10] == ["PONG"] * 10
        assert isinstance(got[10], StoreUnavailable)
        assert await store.call("PING") == "PONG"
    finally:
        await store.close()
