"""What one instance hands another arrives though sockets break, and counts once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp import ClientSession

from kit.eventually import eventually
from kit.peers import ACK, AUDIO, DELIVERY, ITEMS, RESULT, Sides, announce, make, serving
from kit.proxy import proxy_to
from lingua_scheduler.auth import PeerProof
from lingua_scheduler.clock import now_ms
from lingua_scheduler.peers.envelope import pack
from lingua_scheduler.peers.hub import PATH
from lingua_scheduler.work import Said
from lingua_state.client import RedisSettings, open_store
from lingua_state.embedded import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lingua_state.client import Store

WORD = Said("job-1", 2, "node-1", "inc-1", RESULT, AUDIO)
NOTICES = [item for item in ITEMS if item != DELIVERY]
ASSIGNED, LOST, ENDED = ITEMS[-3:]


@pytest.fixture
async def other_store(store_url: str) -> AsyncIterator[Store]:
    """Open a registry in which an instance can have another address than the one it is at."""
    opened = await open_store(RedisSettings(url=store_url, prefix="elsewhere"))
    yield opened
    await opened.close()


async def test_a_result_for_an_instance_that_is_away_arrives_when_it_is_back(store: Store) -> None:
    there = Sides()
    caller, listener = make("a", store, Sides()), make("b", store, there)
    await announce(store, "b", free_port())
    assert caller.send("b", WORD)
    await eventually(lambda: caller.unreachable() == ("b",), what="the way is known to be broken")
    assert caller.send("b", WORD), "a result waits, a job would not"
    async with serving(listener, store):
        await eventually(lambda: there.received == [WORD, WORD])
        await caller.close()


async def test_what_was_sent_into_a_socket_that_died_is_sent_again_and_counts_once(store: Store) -> None:
    there = Sides()
    caller, listener = make("a", store, Sides(), confirm_ms=1_000), make("b", store, there)
    async with serving(listener, store) as port, proxy_to(port) as proxy:
        await announce(store, "b", proxy.port)
        caller.send("b", NOTICES[0])
        await eventually(lambda: len(there.received) == 1 and not caller.unreachable())
        proxy.hold_replies = True
        for item in NOTICES[1:]:
            assert caller.send("b", item)
        await eventually(lambda: proxy.held > 0, what="a confirmation was held back")
        proxy.hold_replies = False
        proxy.cut()
        before = proxy.connections
        await eventually(lambda: proxy.connections > before, what="a new way")
        last = Said("job-9", 1, "node-1", "inc-1", ACK)
        assert caller.send("b", last)
        await eventually(lambda: last in there.received)
        assert there.received == [*NOTICES, last]
        await caller.close()


async def test_a_peer_that_confirms_nothing_counts_as_unreachable_and_jobs_come_back(store: Store) -> None:
    here, there = Sides(), Sides()
    caller, listener = make("a", store, here, confirm_ms=1_000), make("b", store, there)
    async with serving(listener, store) as port, proxy_to(port) as proxy:
        await announce(store, "b", proxy.port)
        caller.send("b", NOTICES[0])
        await eventually(lambda: len(there.received) == 1 and caller.waiting == 0)
        proxy.hold_replies = True
        caller.send("b", DELIVERY)
        await eventually(lambda: here.returned == [DELIVERY], what="the job comes back")
        assert proxy.held > 0
        await caller.close()


async def test_an_instance_that_can_not_be_reached_directly_is_reached_through_a_third(
    store: Store, other_store: Store
) -> None:
    there, between = Sides(), Sides()
    listener, third = make("b", store, there), make("c", store, between)
    caller = make("a", other_store, Sides())
    async with serving(listener, store), serving(third, store) as third_port:
        await announce(other_store, "b", free_port())
        await announce(other_store, "c", third_port)
        for item in ITEMS:
            assert caller.send("b", item)
        await eventually(lambda: there.received == ITEMS)
        assert between.received == [], "who stands between takes nothing"
        assert caller.unreachable() == ()
        await caller.close()


async def test_an_instance_that_can_be_reached_again_is_found_though_nothing_is_to_be_sent(store: Store) -> None:
    there = Sides()
    caller, listener = make("a", store, Sides()), make("b", store, there)
    await announce(store, "b", free_port())
    caller.send("b", DELIVERY)
    await eventually(lambda: caller.unreachable() == ("b",))
    assert caller.waiting == 0, "the job went back"
    assert not caller.send("b", DELIVERY)
    async with serving(listener, store):
        await eventually(lambda: caller.unreachable() == (), what="the way is found open")
        assert caller.send("b", DELIVERY)
        await eventually(lambda: there.received == [DELIVERY])
        await caller.close()


async def test_an_instance_that_is_gone_is_looked_for_no_more_when_it_is_forgotten(store: Store) -> None:
    caller = make("a", store, Sides())
    caller.send("gone", DELIVERY)
    await eventually(lambda: caller.unreachable() == ("gone",))
    caller.forget(set(), idle_since_ms=now_ms() + 1)
    assert caller.unreachable() == ()
    await eventually(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == "peer-gone"])
    await caller.close()


async def test_a_third_instance_carries_nothing_for_one_that_does_not_prove_itself(
    store: Store, other_store: Store
) -> None:
    there = Sides()
    listener, third = make("b", store, there), make("c", store, Sides())
    caller = make("a", other_store, Sides(), secret="guessed")
    async with serving(listener, store), serving(third, store) as third_port:
        await announce(other_store, "b", free_port())
        await announce(other_store, "c", third_port)
        caller.send("b", WORD)
        await eventually(lambda: caller.unreachable() == ("b",))
        assert there.received == []
        await caller.close()


async def test_a_caller_of_an_older_version_is_understood(store: Store) -> None:
    """It sends items as they are and expects no confirmation."""
    there = Sides()
    async with (
        serving(make("b", store, there), store) as port,
        ClientSession() as http,
        http.ws_connect(f"http://127.0.0.1:{port}{PATH}") as socket,
    ):
        hello = orjson.loads(await socket.receive_bytes())
        proof = PeerProof("a", "b", "00", hello["nonce"])
        await socket.send_bytes(orjson.dumps({"instance_id": "a", "nonce": "00", "mac": proof.caller_mac("s3cret")}))
        assert "mac" in orjson.loads(await socket.receive_bytes())
        await socket.send_bytes(pack(WORD))
        await eventually(lambda: there.received == [WORD])


async def test_an_item_that_nobody_can_read_does_not_hold_up_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Sides()
    caller = make("a", store, Sides())
    async with serving(make("b", store, there), store):
        with monkeypatch.context() as patched:
            patched.setattr("lingua_scheduler.peers.link.pack", lambda item: b"of a version to come")
            caller.send("b", WORD)
            await eventually(lambda: caller.waiting == 0, what="it is confirmed all the same")
        caller.send("b", NOTICES[0])
        await eventually(lambda: there.received == [NOTICES[0]])
        await caller.close()


async def test_what_the_store_decided_is_left_there_for_an_instance_that_can_not_be_reached(store: Store) -> None:
    here = Sides()
    caller = make("a", store, here)
    await announce(store, "b", free_port())
    for notice in (ASSIGNED, LOST, ENDED):
        assert caller.send("b", notice)
    await eventually(lambda: here.left == [ASSIGNED, LOST, ENDED], what="the way is known to be broken")
    assert caller.send("b", LOST)
    assert here.left[-1] == LOST, "from then on at once"
    assert caller.waiting == 0
    await caller.close()
