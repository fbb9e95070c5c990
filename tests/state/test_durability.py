"""The durable profile: a write is told of when a replica has it, on Valkey and on Redis, with a replica that stops."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import redis

from kit import processes
from kit.eventually import eventually, eventually_sync
from kit.redis_servers import redis_server, valkey_server
from kit.state import assign, finish, join, want
from lingua_state import dispatch
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.embedded import EmbeddedServer, start
from lingua_state.errors import OutcomeUnknown, StoreRefused, StoreUnavailable
from lingua_state.models import Assigned
from lingua_state.server import check_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Two:
    primary: EmbeddedServer
    replica: EmbeddedServer

    def pause(self) -> None:
        processes.pause(self.replica.process.pid)

    def go_on(self) -> None:
        processes.go_on(self.replica.process.pid)

    def command(self, *words: object) -> Any:
        with redis.Redis(port=self.primary.port, decode_responses=True) as client:
            return client.execute_command(*words)

    def calls_of(self, command: str) -> int:
        return int(self.command("INFO", "commandstats")[f"cmdstat_{command}"]["calls"])


@contextmanager
def two_servers(directory: Path, kind: str) -> Iterator[Two]:
    program = valkey_server() if kind == "valkey" else redis_server()
    # At its end it would wait ten seconds for a replica that was stopped before.
    options = ("--repl-diskless-sync-delay", "0", "--min-replicas-max-lag", "2", "--shutdown-timeout", "0")
    primary = start(directory / "primary", program=program, options=options)
    try:
        following = ("--replicaof", "127.0.0.1", str(primary.port))
        replica = start(directory / "replica", program=program, options=(*options, *following))
        made = Two(primary, replica)
        try:
            eventually_sync(lambda: made.command("WAIT", 1, 100) == 1, what="the replica follows")
            yield made
        finally:
            made.go_on()
            replica.stop()
    finally:
        primary.stop()


@pytest.fixture(params=["valkey", "redis7"])
def two(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Two]:
    with two_servers(tmp_path, request.param) as made:
        yield made


@asynccontextmanager
async def durable(two: Two, **settings: Any) -> AsyncIterator[Store]:
    chosen: dict[str, Any] = {"profile": "durable", "fixed_address": True} | settings
    store = await open_store(RedisSettings(url=two.primary.url, **chosen))
    try:
        yield store
    finally:
        await store.close()


async def name_epoch(store: Store, name: str) -> list[Any]:
    return await store.scripts.run("epoch", [store.keys.epoch()], [name], surely=True)


async def test_what_was_told_is_on_the_replica(two: Two) -> None:
    async with durable(two) as store:
        assert await name_epoch(store, "first") == ["ok", "first"]
        with redis.Redis(port=two.replica.port, decode_responses=True) as client:
            assert client.get(store.keys.epoch()) == "first"


async def test_a_write_that_no_replica_has_is_unknown_and_so_is_its_repeat(two: Two) -> None:
    async with durable(two, cut_off_ms=300) as store:
        two.pause()
        with pytest.raises(OutcomeUnknown):
            await name_epoch(store, "first")
        # The repeat finds it written, writes nothing, and still must not be told as sure.
        with pytest.raises(OutcomeUnknown):
            await name_epoch(store, "second")
        assert store.policy.unconfirmed >= 2
    two.go_on()
    async with durable(two, cut_off_ms=20_000, retry_budget_ms=20_000) as store:
        assert await name_epoch(store, "third") == ["ok", "first"]


async def test_the_same_call_is_made_again_until_a_replica_has_it(two: Two) -> None:
    async with durable(two, cut_off_ms=20_000, retry_budget_ms=20_000) as store:
        two.pause()
        calling = asyncio.create_task(name_epoch(store, "first"))
        await eventually(lambda: store.policy.unconfirmed > 0)
        assert not calling.done()
        two.go_on()
        assert await calling == ["ok", "first"]


async def test_the_first_answer_is_told_however_long_it_took(two: Two) -> None:
    async with durable(two, cut_off_ms=20_000, retry_budget_ms=20_000) as store:
        await join(store, "n0")
        two.pause()
        request = want()
        ending = asyncio.create_task(dispatch.dispatch(store, request))
        await eventually(lambda: store.policy.unconfirmed > 0)
        calls = two.calls_of("evalsha")
        await eventually(lambda: store.policy.unconfirmed > 2)
        assert two.calls_of("evalsha") == calls, "it was run again"
        two.go_on()
        assert isinstance(await ending, Assigned)


async def test_the_end_of_a_job_is_told_when_a_replica_has_it(two: Two) -> None:
    async with durable(two, cut_off_ms=20_000, retry_budget_ms=20_000) as store:
        await join(store, "n0")
        job = await assign(store)
        two.pause()
        before = store.policy.unconfirmed
        ending = asyncio.create_task(finish(store, job))
        await eventually(lambda: ending.done() or store.policy.unconfirmed > before)
        assert not ending.done()
        two.go_on()
        assert (await ending).outcome == "ok"


async def test_who_needs_no_replica_waits_for_none(two: Two) -> None:
    async with durable(two, confirm_ms=5_000, timeout_ms=30_000) as store:
        two.pause()
        sure = asyncio.create_task(name_epoch(store, "first"))
        await eventually(lambda: two.command("GET", store.keys.epoch()) == "first")
        assert await store.call("PING") == "PONG"
        assert await store.scripts.run("epoch", [store.keys.epoch()], ["x"]) == ["ok", "first"]
        assert not sure.done()
        two.go_on()
        await sure


async def test_many_who_wait_share_a_round(two: Two) -> None:
    async with durable(two, confirm_ms=60_000, timeout_ms=60_000) as store:
        await name_epoch(store, "first")
        before = store.shared.rounds
        two.pause()
        calls = [asyncio.create_task(name_epoch(store, "first")) for _ in range(500)]
        await eventually(lambda: two.calls_of("evalsha") > 500, what="all have written")
        two.go_on()
        assert await asyncio.gather(*calls) == [["ok", "first"]] * 500
        assert store.shared.rounds - before < 50


async def test_a_server_that_was_replaced_meanwhile_confirms_nothing_of_the_old_one(two: Two) -> None:
    async with durable(two) as store:
        await name_epoch(store, "first")
        two.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert await name_epoch(store, "second") == ["ok", "first"]
        assert store.shared.connects == 2


async def test_too_few_replicas_refuse_soon(two: Two) -> None:
    async with durable(two, cut_off_ms=200) as store:
        two.command("CONFIG", "SET", "min-replicas-to-write", "3")
        with pytest.raises(StoreRefused, match="NOREPLICAS"):
            await name_epoch(store, "first")


async def test_calls_that_wait_when_the_store_is_closed_are_ended(two: Two) -> None:
    async with durable(two, confirm_ms=60_000, timeout_ms=60_000) as store:
        two.pause()
        calling = asyncio.create_task(name_epoch(store, "first"))
        await eventually(lambda: two.command("GET", store.keys.epoch()) == "first")
    with pytest.raises(StoreUnavailable):
        await calling


async def test_the_profile_is_checked(two: Two) -> None:
    async with durable(two, fixed_address=False) as store:
        found = {finding.code: finding.level for finding in await check_server(store)}
        assert found["one_address"] == "error"
        assert found["no_min_replicas"] == "error"
        two.command("CONFIG", "SET", "min-replicas-to-write", "1")
        two.command("CONFIG", "SET", "appendonly", "no")
        found = {finding.code: finding.level for finding in await check_server(store)}
        assert "no_min_replicas" not in found
        assert found["not_persistent_durable"] == "error"
    async with durable(two) as store:
        two.command("CONFIG", "SET", "appendonly", "yes")
        found = {finding.code: finding.level for finding in await check_server(store)}
        assert "error" not in found.values()
        assert found["fixed_address"] == "warning"
    async with durable(two, replicas=2) as store:
        assert "replica_away" in {finding.code for finding in await check_server(store)}
