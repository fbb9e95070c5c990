"""Nodes that die, keep quiet, fail or repeat themselves: each utterance still has exactly one outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kit import nodes
from kit.clients import Client
from kit.nodes import Node
from kit.proof import utterance

if TYPE_CHECKING:
    from kit.nodes import Job
    from kit.schedulers import Cluster

BASE: tuple[str, ...] = ()


async def say_a_word(node: Node, job: Job) -> None:
    """Confirm the job, or show in the one way a base node has that it is there."""
    await (node.partial(job, "so far") if node.base else node.ack(job))


@pytest.mark.parametrize("of_node", [BASE, nodes.EXTENSIONS], ids=["base node", "extended node"])
@pytest.mark.parametrize("at", [0, 1], ids=["same scheduler", "other scheduler"])
async def test_a_node_killed_before_its_first_word_loses_the_job_to_another(
    two: Cluster, pair: tuple[str, str], of_node: tuple[str, ...], at: int
) -> None:
    audio = utterance()
    async with (
        Node(two.urls[at], pair[:1], pair[1:], nodes.ignore, extensions=of_node) as lost,
        Client(two.urls[0]) as client,
    ):
        await client.open(*pair)
        index = await client.say(audio)
        await lost.job()
        async with Node(two.urls[1], pair[:1], pair[1:]) as other:
            lost.crash()
            result = await client.proven(index, audio)
        assert result["extra"]["node_id"] == other.node_id
        assert [job.assign["attempt_id"] for job in (*lost.jobs, *other.jobs)] == [1, 2]
        assert len(client.outcomes()) == 1


@pytest.mark.parametrize("at", [0, 1], ids=["same scheduler", "other scheduler"])
async def test_after_the_acknowledgement_the_client_that_can_is_asked_to_send_again(
    two: Cluster, pair: tuple[str, str], at: int
) -> None:
    audio = utterance()
    async with Node(two.urls[at], pair[:1], pair[1:], nodes.confirm_and_crash), Client(two.urls[0]) as client:
        await client.open(*pair)
        index = await client.say(audio)
        failed = await client.outcome(index)
        assert (failed["type"], failed["code"], failed["retryable"]) == ("utterance_failed", "NODE_UNAVAILABLE", True)
        assert (failed["resend_from_sample"], failed["resend_to_sample"]) == (0, len(audio) // 2)
        async with Node(two.urls[1], pair[:1], pair[1:]):
            await client.whole(index + 1, audio, *pair, resend_of=index, from_sample=0)
            await client.proven(index + 1, audio)
        assert [event["utterance_index"] for event in client.outcomes()] == [index, index + 1]


@pytest.mark.parametrize("of_node", [BASE, nodes.EXTENSIONS], ids=["base node", "extended node"])
async def test_after_the_first_word_a_client_that_cannot_send_again_is_told_that_the_result_is_missing(
    two: Cluster, pair: tuple[str, str], of_node: tuple[str, ...]
) -> None:
    async with (
        Node(two.urls[1], pair[:1], pair[1:], say_a_word, extensions=of_node) as node,
        Client(two.urls[0], extensions=BASE) as client,
    ):
        await client.open(*pair)
        index = await client.say(utterance())
        await client.until(lambda: [e for e in client.all("ui_event") if e["event"] == "NODE_ACCEPTED"])
        node.crash()
        missing = await client.outcome(index)
        assert (missing["type"], missing["reason"]) == ("missing_result", "node_lost")
        assert not client.all("error"), "a page shows each error as an alert"


async def test_a_node_that_confirms_nothing_in_time_loses_the_job(two: Cluster, pair: tuple[str, str]) -> None:
    audio = utterance()
    async with Node(two.urls[1], pair[:1], pair[1:], nodes.ignore) as mute, Client(two.urls[0]) as client:
        await client.open(*pair)
        index = await client.say(audio)
        await mute.job()
        async with Node(two.urls[0], pair[:1], pair[1:]) as other:
            result = await client.proven(index, audio)
            assert result["extra"]["node_id"] == other.node_id
            await client.until(lambda: mute.jobs[0].cancelled is not None, what="the mute node is told")


async def test_a_late_result_of_an_older_attempt_changes_nothing(two: Cluster, pair: tuple[str, str]) -> None:
    audio = utterance()
    async with Node(two.urls[1], pair[:1], pair[1:], nodes.ignore) as late, Client(two.urls[0]) as client:
        await client.open(*pair)
        index = await client.say(audio)
        first = await late.job()
        async with Node(two.urls[0], pair[:1], pair[1:]):
            await client.proven(index, audio)
        rejected = two.schedulers[1].metric("lingua_results_rejected_total")
        await late.result(first, text_translated="too late")
        await client.until(lambda: two.schedulers[1].metric("lingua_results_rejected_total") > rejected)
        assert len(client.outcomes()) == 1


@pytest.mark.parametrize("code", ["DRAINING", "NODE_OVERLOADED", "DUPLICATE_JOB_ID"])
async def test_a_node_that_says_it_can_not_take_a_job_now_is_not_taken_out_and_the_job_goes_on(
    two: Cluster, pair: tuple[str, str], code: str
) -> None:
    audio = utterance()

    async def ask() -> None:
        async with Client(two.urls[0]) as client:
            await client.open(*pair)
            await client.proven(await client.say(audio), audio)

    async with (
        Node(two.urls[0], pair[:1], pair[1:], nodes.failing(code), capacity=20) as refusing,
        Node(two.urls[1], pair[:1], pair[1:], nodes.after(0.5), capacity=20),
    ):
        await asyncio.gather(*(ask() for _ in range(16)))
        assert len(refusing.jobs) >= (1 if code == "DRAINING" else 3)
        shown = two.schedulers[0].ask(f"/api/v1/nodes/{refusing.node_id}")[1]
        assert (shown["status"], shown["failed"]) == ("ready", 0)


async def test_a_failed_job_goes_to_another_node(two: Cluster, pair: tuple[str, str]) -> None:
    audio, good = utterance(), Node(two.urls[1], pair[:1], pair[1:])

    async def fail_when_another_is_there(node: Node, job: Job) -> None:
        await good.connect()
        await good.register()
        await node.fail(job, "PROCESSING_ERROR")

    async with (
        Node(two.urls[0], pair[:1], pair[1:], fail_when_another_is_there),
        Client(two.urls[0]) as client,
    ):
        await client.open(*pair)
        result = await client.proven(await client.say(audio), audio)
        assert result["extra"]["node_id"] == good.node_id
    await good.disconnect()


async def test_a_job_that_fails_everywhere_ends_after_three_attempts(two: Cluster, pair: tuple[str, str]) -> None:
    fails = nodes.failing("PROCESSING_ERROR")
    team = [Node(two.urls[at % 2], pair[:1], pair[1:], fails) for at in range(4)]
    async with team[0], team[1], team[2], team[3], Client(two.urls[0]) as client:
        await client.open(*pair)
        failed = await client.outcome(await client.say(utterance()))
        assert (failed["type"], failed["code"]) == ("utterance_failed", "PROCESSING_ERROR")
        assert sorted(job.assign["attempt_id"] for node in team for job in node.jobs) == [1, 2, 3]
        assert max(len(node.jobs) for node in team) == 1, "each attempt is on another node"


async def test_a_node_that_confirms_jobs_and_then_fails_them_is_taken_out(two: Cluster, pair: tuple[str, str]) -> None:
    fails = nodes.failing("PROCESSING_ERROR", acks=True)
    async with Node(two.urls[1], pair[:1], pair[1:], fails) as bad, Client(two.urls[0]) as client:
        await client.open(*pair)
        for _ in range(3):
            failed = await client.outcome(await client.say(utterance()))
            assert (failed["type"], failed["code"]) == ("utterance_failed", "PROCESSING_ERROR")
        node = two.schedulers[0].ask(f"/api/v1/nodes/{bad.node_id}")[1]
        assert (node["failed"], node["quarantined"]) == (3, True)


@pytest.mark.parametrize("acks", [True, False])
async def test_audio_that_no_node_can_read_takes_no_node_out_and_is_not_asked_for_again(
    two: Cluster, pair: tuple[str, str], acks: bool
) -> None:
    refuses = nodes.failing("UNSUPPORTED_FORMAT", acks=acks)
    async with Node(two.urls[1], pair[:1], pair[1:], refuses) as node, Client(two.urls[0]) as client:
        await client.open(*pair)
        failed = await client.outcome(await client.say(utterance()))
        assert (failed["code"], failed["retryable"]) == ("UNSUPPORTED_FORMAT", False)
        assert failed.get("resend_from_sample") is None
        assert two.schedulers[0].ask(f"/api/v1/nodes/{node.node_id}")[1]["failed"] == 0


async def test_a_result_that_comes_twice_is_told_once(two: Cluster, pair: tuple[str, str]) -> None:
    async def twice(node: Node, job: Job) -> None:
        await nodes.answer(node, job)
        await node.result(job)

    first, second = utterance(), utterance()
    async with Node(two.urls[1], pair[:1], pair[1:], twice), Client(two.urls[0]) as client:
        await client.open(*pair)
        for audio in (first, second):
            await client.proven(await client.say(audio), audio)
        await client.close()
        assert len(client.outcomes()) == 2


@pytest.mark.parametrize("lie", ["node_id", "attempt_id", "session_id"])
async def test_a_node_that_lies_about_its_ids_is_not_believed(two: Cluster, pair: tuple[str, str], lie: str) -> None:
    lies: dict[str, Any] = {"node_id": "somebody", "attempt_id": 7, "session_id": "else"}

    async def liar(node: Node, job: Job) -> None:
        await node.ack(job)
        await node.result(job, text_translated="a lie", tts_audio="", **{lie: lies[lie]})
        await node.result(job)

    audio = utterance()
    async with Node(two.urls[1], pair[:1], pair[1:], liar), Client(two.urls[0]) as client:
        await client.open(*pair)
        rejected = two.schedulers[1].metric("lingua_results_rejected_total")
        await client.proven(await client.say(audio), audio)
        assert two.schedulers[1].metric("lingua_results_rejected_total") == rejected + 1


async def test_a_node_that_confirms_other_audio_than_it_was_sent_loses_the_job(
    two: Cluster, pair: tuple[str, str]
) -> None:
    audio, good = utterance(), Node(two.urls[1], pair[:1], pair[1:])

    async def mixed_up(node: Node, job: Job) -> None:
        await good.connect()
        await good.register()
        await node.ack(job, audio_sha256="0" * 64)

    async with Node(two.urls[0], pair[:1], pair[1:], mixed_up) as bad, Client(two.urls[0]) as client:
        await client.open(*pair)
        result = await client.proven(await client.say(audio), audio)
        assert result["extra"]["node_id"] == good.node_id
        await client.until(lambda: bad.all("job_cancel"), what="the node is told")
    await good.disconnect()
