"""Instances that lose the way to each other: results still arrive, jobs go where they can."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from kit import nodes
from kit.clients import Client
from kit.eventually import eventually_sync
from kit.nodes import Node
from kit.proof import utterance
from kit.proxy import proxy_to
from kit.schedulers import SchedulerProcess, start_scheduler
from lingua_state.embedded import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.schedulers import Cluster


@pytest.fixture
def behind(two: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SchedulerProcess, int]]:
    """Run a scheduler that others reach over a way of ours; gives it and the port where the way begins."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    directory = tmp_path_factory.mktemp("behind")
    scheduler = start_scheduler(directory, two.store.url, "behind", peer_address=address, job_wait_ms=2_500)
    eventually_sync(scheduler.is_ready, what="it is ready")
    yield scheduler, port
    assert scheduler.stop() == 0


def port_of(scheduler: SchedulerProcess) -> int:
    port = urlsplit(scheduler.url).port
    assert port is not None
    return port


async def test_a_result_arrives_though_the_way_to_its_owner_was_away_when_it_came(
    two: Cluster, behind: tuple[SchedulerProcess, int], pair: tuple[str, str]
) -> None:
    owner, way = behind
    audio = utterance()
    async with Node(two.urls[0], pair[:1], pair[1:], nodes.confirm) as node, Client(owner.url) as client:
        await client.open(*pair)
        async with proxy_to(port_of(owner), at=way) as proxy:
            index = await client.say(audio)
            job = await node.job()
            await client.until(lambda: [e for e in client.all("ui_event") if e["event"] == "NODE_ACCEPTED"])
            assert proxy.connections > 0
        failed = two.schedulers[0].metric("lingua_peer_waiting")
        await node.result(job)
        await client.until(
            lambda: two.schedulers[0].metric("lingua_peer_waiting") > failed, what="the result can't be handed over"
        )
        assert not client.outcomes()
        async with proxy_to(port_of(owner), at=way):
            await client.proven(index, audio)
        assert len(client.outcomes()) == 1
        assert len(node.jobs) == 1


async def test_jobs_go_to_nodes_that_can_be_reached_while_others_can_not(
    two: Cluster, behind: tuple[SchedulerProcess, int], pair: tuple[str, str]
) -> None:
    far, _ = behind  # its way is never open
    async with (
        Node(far.url, pair[:1], pair[1:], capacity=8),
        Node(two.urls[0], pair[:1], pair[1:], capacity=1) as near,
        Client(two.urls[0]) as client,
    ):
        await client.open(*pair)
        for _ in range(6):
            audio = utterance()
            await client.proven(await client.say(audio), audio)
        assert len(near.jobs) == 6
        assert two.schedulers[0].metric("lingua_attempts_lost_total", reason="peer_unreachable") <= 6
