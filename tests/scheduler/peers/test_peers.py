"""Instances hand each other jobs and words over real sockets, and only to those that prove themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp import ClientSession, WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from kit.eventually import PATIENCE_S, eventually
from kit.peers import DELIVERY, ITEMS, Sides, announce, make, serving
from lingua_scheduler.auth import PeerProof
from lingua_scheduler.peers.envelope import pack, unpack
from lingua_scheduler.peers.hub import PATH
from lingua_scheduler.work import Delivery
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from lingua_scheduler.peers.envelope import Item
    from lingua_state.client import Store


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
def test_every_item_crosses_unchanged(item: Item) -> None:
    assert unpack(pack(item)) == item


@given(st.binary(max_size=300))
def test_bytes_that_are_no_item_are_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(WireError):
        unpack(data)


@given(st.sampled_from(ITEMS), st.integers(0, 200))
def test_an_item_cut_short_in_its_head_is_refused(item: Item, size: int) -> None:
    packed = pack(item)
    head_bytes = int.from_bytes(packed[:4], "big") + 4
    with pytest.raises(WireError):
        unpack(packed[: min(size, head_bytes - 1)])


async def test_items_arrive_in_order_with_their_audio(store: Store) -> None:
    here, there = Sides(), Sides()
    caller, listener = make("a", store, here), make("b", store, there)
    async with serving(listener, store):
        for item in ITEMS:
            assert caller.send("b", item)
        await eventually(lambda: len(there.received) == len(ITEMS))
        assert there.received == ITEMS
        await caller.close()


async def test_a_job_for_an_instance_that_is_not_there_comes_back_at_once(store: Store) -> None:
    sides = Sides()
    caller = make("a", store, sides)
    assert caller.send("nobody", DELIVERY)
    await eventually(lambda: sides.returned == [DELIVERY])
    assert not caller.send("nobody", DELIVERY), "while the way is known to be broken the sender is told so"
    await caller.close()


async def test_an_instance_with_another_secret_gets_nothing(store: Store) -> None:
    here, there = Sides(), Sides()
    caller, listener = make("a", store, here, secret="guessed"), make("b", store, there)
    async with serving(listener, store):
        caller.send("b", DELIVERY)
        await eventually(lambda: here.returned == [DELIVERY])
    assert there.received == []
    await caller.close()


async def test_a_listener_that_is_not_the_one_meant_gets_nothing(store: Store) -> None:
    here, there = Sides(), Sides()
    caller, impostor = make("a", store, here), make("c", store, there)
    async with serving(impostor, store) as port:
        await announce(store, "b", port)
        caller.send("b", DELIVERY)
        await eventually(lambda: here.returned == [DELIVERY])
    assert there.received == []
    await caller.close()


async def test_a_stranger_that_skips_the_handshake_is_closed_with_4401(store: Store) -> None:
    there = Sides()
    async with serving(make("b", store, there), store) as port, ClientSession() as http:
        async with http.ws_connect(f"http://127.0.0.1:{port}{PATH}") as socket:
            assert (await socket.receive()).type is WSMsgType.BINARY
            await socket.send_bytes(pack(DELIVERY))
            closed = await socket.receive()
        assert (closed.type, closed.data) == (WSMsgType.CLOSE, 4401)
    assert there.received == []


async def test_a_proof_that_was_overheard_does_not_fit_another_connection(store: Store) -> None:
    there = Sides()
    async with serving(make("b", store, there), store) as port, ClientSession() as http:
        address = f"http://127.0.0.1:{port}{PATH}"
        async with http.ws_connect(address) as socket:
            hello = orjson.loads(await socket.receive_bytes())
            proof = PeerProof("a", "b", "00", hello["nonce"])
            overheard = orjson.dumps({"instance_id": "a", "nonce": "00", "mac": proof.caller_mac("s3cret")})
            await socket.send_bytes(overheard)
            assert "mac" in orjson.loads(await socket.receive_bytes())
        async with http.ws_connect(address) as socket:
            await socket.receive_bytes()
            await socket.send_bytes(overheard)
            assert (await socket.receive()).data == 4401


async def test_the_way_is_found_again_after_the_other_side_closed_it(store: Store) -> None:
    here, there = Sides(), Sides()
    caller = make("a", store, here)
    async with serving(make("b", store, there), store):
        caller.send("b", ITEMS[1])
        await eventually(lambda: len(there.received) == 1 and caller.waiting == 0)
    again = Sides()
    async with serving(make("b", store, again), store):
        await eventually(lambda: caller.send("b", DELIVERY) and len(again.received) > 0)
    assert all(isinstance(item, Delivery) for item in again.received)
    await caller.close()


async def test_a_full_queue_refuses_more_and_says_so(store: Store) -> None:
    sides = Sides()
    caller = make("a", store, sides, queue_messages=2)
    answers = [caller.send("b", ITEMS[1]) for _ in range(4)]
    assert answers == [True, True, False, False]
    await asyncio.wait_for(caller.close(), PATIENCE_S)
