"""Which node gets an utterance: the one that holds its turn, then the session's, then the least loaded."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from kit import nodes
from kit.clients import Client
from kit.nodes import Node
from kit.proof import utterance

if TYPE_CHECKING:
    from kit.schedulers import Cluster


async def _team(two: Cluster, pair: tuple[str, str], stack: AsyncExitStack, size: int = 3) -> list[Node]:
    team = [Node(two.urls[at % 2], pair[:1], pair[1:], nodes.after(0.02)) for at in range(size)]
    for node in team:
        await stack.enter_async_context(node)
    return team


async def test_the_pieces_of_one_turn_stay_on_one_node(two: Cluster, pair: tuple[str, str]) -> None:
    async with AsyncExitStack() as stack:
        team = await _team(two, pair, stack)
        client = await stack.enter_async_context(Client(two.urls[0]))
        await client.open(*pair, max_duration_ms=1_000)
        audio = utterance(3_500)
        await client.stream(audio)
        await client.until(lambda: len(client.outcomes()) == 4)
        cuts = client.cuts()
        assert [cut["reason"] for cut in cuts] == ["MaxDuration"] * 3 + ["IsFinal"]
        assert [cut["continues"] for cut in cuts] == [True, True, True, False]
        (served,) = [node for node in team if node.jobs]
        assert len({job.assign["turn_id"] for job in served.jobs}) == 1
        assert [job.assign["is_max_duration_triggered"] for job in served.jobs] == [True, True, True, False]
        assert b"".join(job.audio for job in served.jobs) == audio, "nothing lost, nothing twice"
        assert [event["part_index"] for event in client.outcomes()] == [0, 1, 2, 3]


async def test_a_session_stays_with_its_node_although_others_are_freer(two: Cluster, pair: tuple[str, str]) -> None:
    async with AsyncExitStack() as stack:
        team = await _team(two, pair, stack)
        client = await stack.enter_async_context(Client(two.urls[0]))
        other = await stack.enter_async_context(Client(two.urls[1]))
        for one in (client, other):
            await one.open(*pair)
        audio = utterance()
        mine = (await client.proven(await client.say(audio), audio))["extra"]["node_id"]
        for node in team:
            node.act = nodes.confirm
        await other.say(utterance())
        busy = await other.until(lambda: [node for node in team if node.running])
        for node in team:
            node.act = nodes.answer
        served = {(await client.proven(await client.say(audio), audio))["extra"]["node_id"] for _ in range(3)}
        assert served == {mine}
        assert len(busy) == 1


async def test_a_session_whose_node_is_lost_moves_and_the_move_is_recorded(two: Cluster, pair: tuple[str, str]) -> None:
    async with AsyncExitStack() as stack:
        team = await _team(two, pair, stack, size=2)
        client = await stack.enter_async_context(Client(two.urls[0]))
        await client.open(*pair)
        audio = utterance()
        before = await client.proven(await client.say(audio), audio)
        (lost,) = [node for node in team if node.node_id == before["extra"]["node_id"]]
        await lost.disconnect()
        after = await client.proven(await client.say(audio), audio)
        assert after["extra"]["node_id"] != lost.node_id
        _, job = await asyncio.to_thread(two.schedulers[1].ask, f"/api/v1/jobs/{after['job_id']}")
        assert job["moved_from"] == lost.node_id
        await lost.connect()


async def test_two_people_are_told_apart_and_each_is_translated_for_the_other(
    two: Cluster, pair: tuple[str, str]
) -> None:
    async def hear_who_speaks(node: Node, job: nodes.Job) -> None:
        await node.ack(job)
        await node.result(job, extra={"detected_language": pair[job.index % 2]})

    one_way = Node(two.urls[0], pair[:1], pair[1:])
    both_ways = Node(two.urls[1], pair, pair, hear_who_speaks)
    async with one_way, both_ways, Client(two.urls[0]) as client:
        await client.open("auto", pair[1], mode="two_way_auto", lang_a=pair[0], lang_b=pair[1])
        directions = []
        for _ in range(2):
            audio = utterance()
            result = await client.proven(await client.say(audio), audio)
            directions.append((result["src_lang"], result["tgt_lang"]))
        assert directions == [pair, pair[::-1]]
        assert not one_way.jobs, "a node of one direction can't serve both"
        assert both_ways.jobs[0].assign["src_lang"] == "auto"
        assert {both_ways.jobs[0].assign["lang_a"], both_ways.jobs[0].assign["lang_b"]} == set(pair)


async def test_a_node_that_lacks_a_model_gets_no_more_of_that_pair(two: Cluster, pair: tuple[str, str]) -> None:
    async with AsyncExitStack() as stack:
        await _busy_node(two, pair, stack)
        bad = await stack.enter_async_context(
            Node(two.urls[0], pair[:1], (pair[1], "en"), nodes.failing("MODEL_NOT_AVAILABLE"), capacity=50)
        )
        await _talk_once_each(two, pair, stack, 4)
        assert len(bad.jobs) == 1, "the first failure shows it"
        bad.act = nodes.answer
        await _talk_once_each(two, (pair[0], "en"), stack, 1)
        assert len(bad.jobs) == 2, "it still serves its other pairs"


async def test_a_node_that_keeps_failing_is_left_out(two: Cluster, pair: tuple[str, str]) -> None:
    async with AsyncExitStack() as stack:
        await _busy_node(two, pair, stack)
        bad = await stack.enter_async_context(
            Node(two.urls[0], pair[:1], pair[1:], nodes.failing("PROCESSING_ERROR"), capacity=50)
        )
        await _talk_once_each(two, pair, stack, 10)
        assert 3 <= len(bad.jobs) <= 4, "three failures of five, and at most one trial"
        _, told = await asyncio.to_thread(two.schedulers[1].ask, f"/api/v1/nodes/{bad.node_id}")
        assert told["status"] == "degraded"


async def _busy_node(two: Cluster, pair: tuple[str, str], stack: AsyncExitStack) -> None:
    """Start a good node that has so much to do that any other is chosen first."""
    good = Node(two.urls[1], pair[:1], pair[1:], nodes.first(nodes.confirm, nodes.confirm), capacity=3)
    await stack.enter_async_context(good)
    client = await stack.enter_async_context(Client(two.urls[1]))
    await client.open(*pair)
    for index in range(2):
        await client.whole(index, utterance(), *pair)
    await good.job(2)


async def _talk_once_each(two: Cluster, pair: tuple[str, str], stack: AsyncExitStack, count: int) -> None:
    """Let so many clients, one after the other, say something that must come back translated."""
    for number in range(count):
        client = await stack.enter_async_context(Client(two.urls[number % 2]))
        await client.open(*pair)
        audio = utterance()
        await client.proven(await client.say(audio), audio)


async def test_a_private_node_serves_only_who_holds_its_code(two: Cluster, pair: tuple[str, str]) -> None:
    private = Node(two.urls[0], pair[:1], pair[1:], accept_public_jobs=False, pairing_code="PairingSecret77")
    audio = utterance()
    async with private, Client(two.urls[1]) as client, Client(two.urls[1], extensions=()) as stranger:
        await client.open(*pair, pairing_code="PairingSecret77")
        await client.proven(await client.say(audio), audio)
        await stranger.open(*pair)
        missing = await stranger.outcome(await stranger.say(utterance()))
        assert missing["reason"] == "no_available_node"
        assert len(private.jobs) == 1
        two.assert_nothing_leaked("PairingSecret77")
