"""Results come in the order of the utterances; partials do not wait; holes are given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit import nodes
from kit.clients import Client
from kit.nodes import Node
from kit.proof import utterance
from kit.schedulers import cluster

if TYPE_CHECKING:
    from pathlib import Path

    from kit.schedulers import Cluster


async def test_results_are_in_order_although_nodes_answer_in_reverse(two: Cluster, pair: tuple[str, str]) -> None:
    said = [utterance() for _ in range(4)]
    async with (
        Node(two.urls[1], pair[:1], pair[1:], nodes.confirm, capacity=2) as one,
        Node(two.urls[0], pair[:1], pair[1:], nodes.confirm, capacity=2) as other,
        Client(two.urls[0]) as client,
    ):
        await client.open(*pair)
        for index, audio in enumerate(said):
            await client.whole(index, audio, *pair)
        await client.until(lambda: len(one.jobs) + len(other.jobs) == 4)
        by_index = {job.index: (node, job) for node in (one, other) for job in node.jobs}
        for index in (3, 2, 1, 0):
            assert not client.outcomes()
            node, job = by_index[index]
            await node.result(job)
        for index, audio in enumerate(said):
            await client.proven(index, audio)
        assert [event["utterance_index"] for event in client.outcomes()] == [0, 1, 2, 3]


async def test_partials_of_a_later_utterance_do_not_wait_for_an_earlier_one(
    two: Cluster, pair: tuple[str, str]
) -> None:
    async with Node(two.urls[1], pair[:1], pair[1:], nodes.confirm) as node, Client(two.urls[0]) as client:
        await client.open(*pair)
        for index in range(2):
            await client.whole(index, utterance(), *pair)
        await node.job(2)
        later = next(job for job in node.jobs if job.index == 1)
        await node.partial(later, "SpokenWordsMark half a sentence")
        partial = await client.event("asr_partial")
        assert (partial["utterance_index"], partial["is_final"]) == (1, False)
        assert partial["text"] == "SpokenWordsMark half a sentence"
        assert not client.outcomes()


async def test_a_hole_is_given_up_and_reported_and_its_late_result_dropped(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    with cluster(tmp_path, 1, job_order_ms=1_500) as one:
        await _leave_a_hole(one, pair)


async def _leave_a_hole(one: Cluster, pair: tuple[str, str]) -> None:
    said = [utterance(), utterance()]
    async with (
        Node(one.urls[0], pair[:1], pair[1:], nodes.first(nodes.confirm)) as node,
        Client(one.urls[0], extensions=()) as client,
    ):
        await client.open(*pair)
        await client.whole(0, said[0], *pair)
        held = await node.job()
        await client.whole(1, said[1], *pair)
        missing = await client.outcome(0)
        assert (missing["type"], missing["reason"]) == ("missing_result", "timeout")
        await client.proven(1, said[1])
        await node.result(held)
        assert await client.close() == 1000
        assert [event["utterance_index"] for event in client.outcomes()] == [0, 1]
        assert held.cancelled is not None, "the node is told that nobody wants the result"
