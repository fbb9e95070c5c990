"""Figures that only a real run moves: what nodes say their stages took, what slow clients were not sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit import nodes
from kit.clients import Client
from kit.eventually import eventually
from kit.nodes import Node
from kit.proof import utterance

if TYPE_CHECKING:
    from kit.nodes import Job
    from kit.schedulers import Cluster


async def test_the_times_that_nodes_tell_are_counted_by_stage(two: Cluster, pair: tuple[str, str]) -> None:
    async def answer(node: Node, job: Job) -> None:
        await node.ack(job)
        await node.result(
            job, extra={"service_timings": {"asr_ms": 120, "nmt_ms": 30.5, "tts_ms": 40, "total_ms": 200}}
        )

    scheduler = two.schedulers[0]
    before = {stage: scheduler.metric("lingua_stage_seconds_sum", stage=stage) for stage in ("asr", "nmt", "total")}
    async with Node(two.urls[0], pair[:1], pair[1:], answer), Client(two.urls[0]) as client:
        await client.open(*pair)
        await client.outcome(await client.say(utterance()))
    after = {stage: scheduler.metric("lingua_stage_seconds_sum", stage=stage) for stage in before}
    assert {stage: round(after[stage] - before[stage], 4) for stage in before} == {
        "asr": 0.12, "nmt": 0.0305, "total": 0.2,
    }  # fmt: skip


async def test_partials_that_a_client_did_not_read_in_time_are_counted(two: Cluster, pair: tuple[str, str]) -> None:
    scheduler = two.schedulers[0]
    before = scheduler.metric("lingua_outbox_dropped_total", kind="partial")
    async with Node(two.urls[0], pair[:1], pair[1:], nodes.confirm) as node, Client(two.urls[0]) as client:
        await client.open(*pair)
        await client.say(utterance())
        job = await node.job()
        client.stop_reading()

        async def is_counted() -> bool:
            for number in range(20):
                await node.partial(job, f"{number} " + "so far " * 5_000)
            return scheduler.metric("lingua_outbox_dropped_total", kind="partial") > before

        await eventually(is_counted, what="a partial took the place of one that was not sent")
