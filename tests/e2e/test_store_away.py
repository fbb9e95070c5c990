"""The store is away for a while, killed, emptied: open sessions stay open and go on, and no node is given up for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis

from kit.clients import Client
from kit.eventually import eventually
from kit.nodes import Node
from kit.proof import utterance
from kit.redis_servers import VALKEY, start_server
from kit.schedulers import start_scheduler
from lingua_state.embedded import EmbeddedServer, start

if TYPE_CHECKING:
    from pathlib import Path

    from kit.schedulers import SchedulerProcess

pytestmark = pytest.mark.timeout(240)
PAIR = ("en", "es")
EXTENSIONS = ("binary_audio", "audio_ack", "finalize_reports", "resume")
#: Short, so that a lease would run out while the store is away if anybody let it.
SHORT: dict[str, object] = {"nodes_lease_ms": 6_000, "nodes_fast_lease_ms": 6_000, "redis_retry_budget_ms": 1_000}


async def ready(scheduler: SchedulerProcess) -> bool:
    return bool((await asyncio.to_thread(scheduler.ask, "/health/ready"))[0] == 200)


async def live(scheduler: SchedulerProcess) -> bool:
    return bool((await asyncio.to_thread(scheduler.ask, "/health/live"))[0] == 200)


def again(directory: Path, port: int) -> EmbeddedServer:
    """Start an empty store at the address of the one that died."""
    return start(directory, port=port, options=("--appendonly", "no"))


async def test_sessions_and_nodes_outlive_a_store_that_dies_and_comes_back_empty(tmp_path: Path) -> None:
    store = start_server(VALKEY, tmp_path / "store")
    scheduler = start_scheduler(tmp_path, store.url, "alone", **SHORT)
    process = store.process
    try:
        await eventually(scheduler.is_ready, within_s=60)
        async with (
            Node(scheduler.url, PAIR[:1], PAIR[1:]) as node,
            Client(scheduler.url, extensions=EXTENSIONS) as client,
            Client(scheduler.url, extensions=()) as base,
        ):
            for one in (client, base):
                await one.open(*PAIR)
                said = utterance()
                await one.proven(await one.say(said), said)
            process.process.kill()
            await eventually(lambda: process.process.poll() is not None)
            await eventually(lambda: _not(ready(scheduler)), what="it is not ready without its store")
            assert await live(scheduler)
            owed = utterance(900)
            index = await client.say(owed)
            # A whole lease passes without a store.
            await asyncio.sleep(7)
            assert client.is_open
            assert base.is_open
            refused = Client(scheduler.url, extensions=EXTENSIONS)
            async with refused:
                await refused.send(_init())
                assert await refused.closed(30) == 1013
                assert (await refused.event("error"))["code"] == "STORE_UNAVAILABLE"
            process = again(tmp_path / "again", store.process.port)
            await eventually(lambda: ready(scheduler), within_s=60, what="it is ready again")
            await eventually(lambda: _listed(scheduler, str(node.node_id)), what="the node is known again")
            await client.proven(index, owed, within_s=60)
            assert client.all("error")[0]["code"] == "STORE_UNAVAILABLE", "it was told that this takes a while"
            for one in (client, base):
                said = utterance()
                await one.proven(await one.say(said), said)
            assert len(node.all("node_register_ack")) >= 1
            assert await client.close() == 1000
    finally:
        scheduler.stop()
        process.stop()


async def test_a_session_is_resumed_while_the_store_is_away_where_it_is_known(tmp_path: Path) -> None:
    store = start_server(VALKEY, tmp_path / "store")
    scheduler = start_scheduler(tmp_path, store.url, "alone", **SHORT)
    process = store.process
    try:
        await eventually(scheduler.is_ready, within_s=60)
        async with Node(scheduler.url, PAIR[:1], PAIR[1:]), Client(scheduler.url, extensions=EXTENSIONS) as first:
            await first.open(*PAIR)
            said = utterance()
            await first.proven(await first.say(said), said)
            process.process.kill()
            await eventually(lambda: process.process.poll() is not None)
            first.drop()
            async with (
                Client(scheduler.url, extensions=EXTENSIONS) as second,
                Client(scheduler.url, extensions=EXTENSIONS) as thief,
            ):
                resumed = await second.resume(first, *PAIR)
                assert resumed["next_utterance_index"] == 1
                await thief.send(_init() | _ticket(first))
                assert await thief.closed(30) in (1013, 4404)
                process = again(tmp_path / "again", store.process.port)
                await eventually(lambda: ready(scheduler), within_s=60)
                await eventually(lambda: _resumable(process, first.session_id), within_s=60, what="it is told again")
                async with Client(scheduler.url, extensions=EXTENSIONS) as third:
                    await third.resume(second, *PAIR)
                    said = utterance()
                    await third.proven(await third.say(said), said)
    finally:
        scheduler.stop()
        process.stop()


async def _not(answer: Any) -> bool:
    return not await answer


async def _listed(scheduler: SchedulerProcess, node_id: str) -> bool:
    status, told = await asyncio.to_thread(scheduler.ask, f"/api/v1/nodes/{node_id}")
    return bool(status == 200 and told["status"] == "ready")


def _resumable(store: EmbeddedServer, session_id: str) -> bool:
    with redis.Redis(port=store.port) as client:
        return bool(client.hget(f"scheduler:session:{session_id}", "token"))


def _init() -> dict[str, Any]:
    return {
        "type": "session_init",
        "client_version": "test",
        "platform": "web",
        "src_lang": PAIR[0],
        "tgt_lang": PAIR[1],
        "extensions": list(EXTENSIONS),
    }


def _ticket(victim: Client) -> dict[str, Any]:
    token = victim.all("session_init_ack")[0]["resume_token"]
    return {"session_id": victim.session_id, "resume_token": token, "last_seq": 0}
