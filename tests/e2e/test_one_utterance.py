"""One utterance through the whole system, by every kind of client and node, on one scheduler and over two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit import clients, nodes
from kit.clients import Client
from kit.nodes import Node
from kit.proof import utterance

if TYPE_CHECKING:
    from kit.schedulers import Cluster

BASE: tuple[str, ...] = ()


@pytest.mark.parametrize("of_client", [BASE, clients.EXTENSIONS], ids=["base client", "extended client"])
@pytest.mark.parametrize("of_node", [BASE, nodes.EXTENSIONS], ids=["base node", "extended node"])
@pytest.mark.parametrize("at", [0, 1], ids=["same scheduler", "other scheduler"])
async def test_what_was_spoken_comes_back_translated(
    two: Cluster, pair: tuple[str, str], of_client: tuple[str, ...], of_node: tuple[str, ...], at: int
) -> None:
    audio = utterance()
    async with (
        Node(two.urls[at], pair[:1], pair[1:], extensions=of_node) as node,
        Client(two.urls[0], extensions=of_client) as client,
    ):
        await client.open(*pair)
        index = await client.say(audio)
        result = await client.proven(index, audio)
        assert (await node.job()).audio == audio
        assert result["extra"]["node_id"] == node.node_id
        assert await client.close() == 1000
        assert client.events[-1]["type"] == "session_close_ack"


async def test_a_whole_utterance_longer_than_one_frame_arrives_whole(two: Cluster, pair: tuple[str, str]) -> None:
    audio = b"".join(utterance() for _ in range(40))
    assert len(audio) > 256 * 1024
    async with Node(two.urls[1], pair[:1], pair[1:]) as node, Client(two.urls[0]) as client:
        await client.open(*pair)
        await client.whole(0, audio, *pair)
        await client.proven(0, audio)
        assert node.jobs[0].audio == audio
        assert not client.all("error")
