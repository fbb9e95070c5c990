"""A session goes on over another socket, on the same instance or another: nothing lost, nothing told twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kit import nodes
from kit.clients import Client
from kit.eventually import eventually
from kit.nodes import Node
from kit.proof import utterance

if TYPE_CHECKING:
    from kit.schedulers import Cluster

EXTENSIONS = ("binary_audio", "audio_ack", "finalize_reports", "resume")
HERE, ELSEWHERE = 0, 1


def client(two: Cluster, where: int) -> Client:
    return Client(two.urls[where], extensions=EXTENSIONS)


def outcomes(*clients: Client) -> list[int]:
    return sorted(event["utterance_index"] for one in clients for event in one.outcomes())


@pytest.mark.parametrize("where", [HERE, ELSEWHERE])
async def test_a_session_goes_on_where_its_client_comes_back(two: Cluster, pair: tuple[str, str], where: int) -> None:
    audio = utterance()
    async with Node(two.urls[0], pair[:1], pair[1:]), client(two, 0) as first, client(two, where) as second:
        ack = await first.open(*pair)
        assert "resume" in ack["extensions"]
        assert len(ack["resume_token"]) >= 32
        await first.proven(await first.say(audio), audio)
        first.drop()
        resumed = await second.resume(first, *pair, from_sample=8_000, from_index=1)
        assert (resumed["resume_from_sample"], resumed["next_utterance_index"]) == (8_000, 1)
        assert second.session_id == first.session_id
        said = utterance()
        assert await second.say(said) == 1
        await second.proven(1, said)
        assert await second.close() == 1000
    assert outcomes(first, second) == [0, 1]


async def test_what_was_being_spoken_is_kept_and_goes_on(two: Cluster, pair: tuple[str, str]) -> None:
    audio = utterance(600)
    async with Node(two.urls[1], pair[:1], pair[1:]), client(two, 0) as first, client(two, 0) as second:
        await first.open(*pair)
        await first.stream(audio[:9_600], last=False)
        await first.event("audio_ack")
        await eventually(lambda: first.all("audio_ack")[-1]["received"] == 4_800)
        first.drop()
        resumed = await second.resume(first, *pair, from_sample=0, from_index=0, held_sample=0)
        assert resumed["resume_from_sample"] == 4_800
        await second.stream(audio[9_600:])
        await second.proven(0, audio)


@pytest.mark.parametrize("where", [HERE, ELSEWHERE])
async def test_a_result_that_came_meanwhile_is_told_on_return(two: Cluster, pair: tuple[str, str], where: int) -> None:
    audio = utterance()
    async with Node(two.urls[1], pair[:1], pair[1:], nodes.confirm) as node, client(two, 0) as first:
        await first.open(*pair)
        index = await first.say(audio)
        job = await node.job()
        first.drop()
        await node.result(job)
        with two.redis() as redis:
            key = f"scheduler:session:{first.session_id}:events"
            await eventually(lambda: redis.xlen(key) >= 2, what="the result is kept")
        async with client(two, where) as second:
            await second.resume(first, *pair)
            told = await second.outcome(index)
            assert told["text_translated"] == job.text
            await second.send({"type": "event_ack", "session_id": second.session_id, "last_seq": told["seq"]})
            with two.redis() as redis:
                await eventually(lambda: not redis.exists(key), what="no text is kept longer than it must")


async def test_a_spoken_result_is_made_again_elsewhere_rather_than_told_without_its_speech(
    two: Cluster, pair: tuple[str, str]
) -> None:
    audio = utterance()
    with two.redis() as redis:
        async with Node(two.urls[1], pair[:1], pair[1:], nodes.confirm) as node, client(two, 0) as first:
            await first.open(*pair)
            index = await first.say(audio)
            first.drop()
            await node.result(await node.job())
            key = f"scheduler:session:{first.session_id}:events"
            await eventually(lambda: redis.xlen(key) >= 2, what="the result is kept")
            redis.hset(f"scheduler:session:{first.session_id}", "instance_id", "nobody")
            async with client(two, 1) as second:
                resumed = await second.resume(first, *pair, from_sample=0, from_index=0, held_sample=0)
                assert (resumed["resume_from_sample"], resumed["next_utterance_index"]) == (0, 0)
                node.act = nodes.answer
                assert await second.say(audio) == index
                await second.proven(index, audio)
                assert outcomes(second) == [index]


async def test_the_older_socket_is_told_why_and_can_not_speak_any_more(two: Cluster, pair: tuple[str, str]) -> None:
    async with Node(two.urls[0], pair[:1], pair[1:]), client(two, 0) as first, client(two, 0) as second:
        await first.open(*pair)
        await second.resume(first, *pair)
        assert await first.closed() == 4409
        assert (await first.event("error"))["code"] == "SESSION_REPLACED"
        said = utterance()
        await second.proven(await second.say(said), said)


async def test_the_instance_before_lets_a_session_go_that_went_on_elsewhere(
    two: Cluster, pair: tuple[str, str]
) -> None:
    async with Node(two.urls[0], pair[:1], pair[1:]), client(two, 0) as first, client(two, 1) as second:
        await first.open(*pair)
        await second.resume(first, *pair)
        assert await first.closed() == 4409
        with two.redis() as redis:
            key = f"scheduler:session:{first.session_id}"
            assert redis.hmget(key, "instance_id", "generation") == [b"scheduler-1", b"2"]
        said = utterance()
        await second.proven(await second.say(said), said)


@pytest.mark.parametrize("where", [HERE, ELSEWHERE])
async def test_a_used_token_is_refused_and_the_live_session_goes_on(
    two: Cluster, pair: tuple[str, str], where: int
) -> None:
    async with (
        Node(two.urls[0], pair[:1], pair[1:]),
        client(two, 0) as first,
        client(two, 0) as second,
        client(two, where) as thief,
    ):
        await first.open(*pair)
        await second.resume(first, *pair)
        await thief.send(await _stolen(first, pair))
        assert await thief.closed() == 4404
        assert (await thief.event("error"))["code"] == "INVALID_SESSION"
        said = utterance()
        await second.proven(await second.say(said), said)


async def _stolen(victim: Client, pair: tuple[str, str], **changes: Any) -> dict[str, Any]:
    return {
        "type": "session_init",
        "client_version": "thief",
        "platform": "web",
        "src_lang": pair[0],
        "tgt_lang": pair[1],
        "extensions": list(EXTENSIONS),
        "session_id": victim.session_id,
        "resume_token": victim.all("session_init_ack")[-1]["resume_token"],
        "last_seq": 0,
    } | changes


async def test_who_comes_too_late_is_told_so(two: Cluster, pair: tuple[str, str]) -> None:
    async with Node(two.urls[0], pair[:1], pair[1:]), client(two, 0) as first, client(two, 1) as second:
        await first.open(*pair)
        assert await first.close() == 1000
        with two.redis() as redis:
            await eventually(lambda: not redis.exists(f"scheduler:session:{first.session_id}"), what="it is gone")
        await second.send(await _stolen(first, pair))
        assert await second.closed() == 4410
        assert (await second.event("error"))["code"] == "SESSION_CLOSED"


async def test_neither_token_nor_text_stands_where_it_must_not(two: Cluster, pair: tuple[str, str]) -> None:
    audio = utterance()
    async with Node(two.urls[0], pair[:1], pair[1:]), client(two, 0) as first, client(two, 1) as second:
        await first.open(*pair)
        told = await first.proven(await first.say(audio), audio)
        await first.send({"type": "event_ack", "session_id": first.session_id, "last_seq": told["seq"]})
        await second.resume(first, *pair)
        key = f"scheduler:session:{first.session_id}:events"
        with two.redis() as redis:
            await eventually(lambda: not redis.exists(key))
        tokens = [one.all("session_init_ack")[0]["resume_token"] for one in (first, second)]
        await asyncio.to_thread(two.assert_nothing_leaked, *tokens)


async def test_a_client_that_just_connects_again_gets_a_fresh_session(two: Cluster, pair: tuple[str, str]) -> None:
    async with Node(two.urls[0], pair[:1], pair[1:]):
        seen = []
        for _ in range(2):
            async with Client(two.urls[0], extensions=()) as base:
                ack = await base.open(*pair)
                assert "resume_token" not in ack
                seen.append(base.session_id)
                said = utterance()
                await base.proven(await base.say(said), said)
                base.drop()
        assert seen[0] != seen[1]
