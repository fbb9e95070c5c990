"""When there is no room: jobs wait in bounds, nodes are never over capacity."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from kit import nodes
from kit.clients import EXTENSIONS, Client
from kit.nodes import Node
from kit.proof import utterance

if TYPE_CHECKING:
    from kit.schedulers import Cluster


async def test_without_a_node_a_job_waits_and_then_fails(two: Cluster, pair: tuple[str, str]) -> None:
    async with Node(two.urls[0], pair[:1], pair[1:]):
        pass
    async with Client(two.urls[1]) as client:
        await client.open(*pair)
        began_s = time.monotonic()
        index = await client.say(utterance())
        failed = await client.outcome(index)
        assert (failed["type"], failed["code"], failed["retryable"]) == ("utterance_failed", "NO_AVAILABLE_NODE", True)
        assert 2.0 < time.monotonic() - began_s < 10.0


async def test_a_base_client_is_told_quietly_that_there_is_no_node(two: Cluster, pair: tuple[str, str]) -> None:
    async with Client(two.urls[0], extensions=()) as client:
        await client.open(*pair)
        missing = await client.outcome(await client.say(utterance()))
        assert (missing["type"], missing["reason"]) == ("missing_result", "no_available_node")
        faults = [event for event in client.all("ui_event") if event["event"] == "ERROR"]
        assert [fault["error_code"] for fault in faults] == ["NO_AVAILABLE_NODE"]
        assert not client.all("error")


@pytest.mark.parametrize("extensions", [(), nodes.EXTENSIONS], ids=["base node", "extended node"])
@pytest.mark.parametrize("at", [0, 1], ids=["same scheduler", "other scheduler"])
async def test_a_node_that_joins_serves_a_job_that_waits(
    two: Cluster, pair: tuple[str, str], extensions: tuple[str, ...], at: int
) -> None:
    audio = utterance()
    async with Client(two.urls[0], extensions=()) as client:
        await client.open(*pair)
        index = await client.say(audio)
        async with Node(two.urls[at], pair[:1], pair[1:], extensions=extensions):
            await client.proven(index, audio)


async def test_forty_clients_never_put_three_nodes_over_their_capacity(two: Cluster, pair: tuple[str, str]) -> None:
    team = [
        Node(two.urls[at % 2], pair[:1], pair[1:], nodes.after(0.01), capacity=at + 1, extensions=extensions)
        for at, extensions in enumerate([(), nodes.EXTENSIONS, ("binary_audio",)])
    ]
    async with team[0], team[1], team[2]:
        await asyncio.gather(*(_talk(two.urls[number % 2], pair, number) for number in range(40)))
    assert sum(len(node.jobs) for node in team) == 40 * 3, "no job ran twice"
    assert [node.peak for node in team] == [1, 2, 3]


async def _talk(url: str, pair: tuple[str, str], number: int) -> None:
    async with Client(url, extensions=EXTENSIONS if number % 3 else ()) as client:
        await client.open(*pair)
        said = [utterance(300 + 50 * part) for part in range(3)]
        for index, audio in enumerate(said):
            await client.whole(index, audio, *pair)
        for index, audio in enumerate(said):
            await client.proven(index, audio)
        assert [event["utterance_index"] for event in client.outcomes()] == [0, 1, 2]
