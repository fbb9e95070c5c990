"""What a scheduler leaves behind that died: its jobs at nodes of others end, and nothing of it stays in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit import nodes
from kit.clients import Client
from kit.eventually import eventually
from kit.nodes import Node
from kit.proof import utterance
from kit.schedulers import cluster

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)
QUICK = {"instance_announce_ms": 500, "instance_ttl_ms": 3_000}
RESUME = ("binary_audio", "audio_ack", "finalize_reports", "resume")


async def test_a_node_is_free_again_soon_after_the_owner_of_its_job_died(tmp_path: Path) -> None:
    with cluster(tmp_path, 2, **QUICK) as both:
        dying, staying = both.schedulers
        async with Node(staying.url, ("en",), ("es",), nodes.confirm) as node:
            async with Client(dying.url, extensions=()) as client:
                await client.open("en", "es")
                await client.stream(utterance())
                job = await node.job(within_s=30)
                dying.kill()
            await eventually(lambda: job.cancelled == "owner_gone", what="the node is told")
            with both.redis() as redis:
                name = f"lingua:v1:node:{node.node_id}"
                await eventually(lambda: redis.hget(name, "load") == b"0", what="its slot is free")
            node.act = nodes.answer
            async with Client(staying.url) as other:
                await other.open("en", "es")
                said = utterance()
                await other.proven(await other.say(said), said)


async def test_audio_under_way_at_an_instance_that_dies_after_a_handover_is_asked_for_again(tmp_path: Path) -> None:
    with cluster(tmp_path, 2, **QUICK) as both:
        dying, staying = both.schedulers
        audio = utterance()
        async with (
            Node(staying.url, ("en",), ("es",), nodes.confirm) as node,
            Client(dying.url, extensions=RESUME) as first,
            Client(staying.url, extensions=RESUME) as second,
        ):
            await first.open("en", "es")
            index = await first.say(audio)
            await node.job(within_s=30)
            resumed = await second.resume(first, "en", "es", from_sample=0, from_index=0, held_sample=0)
            assert resumed["next_utterance_index"] == index + 1, "it was handed over, with what is at the node"
            dying.kill()
            failed = await second.outcome(index)
            assert (failed["type"], failed["retryable"]) == ("utterance_failed", True)
            assert (failed["resend_from_sample"], failed["resend_to_sample"]) == (0, len(audio) // 2)
