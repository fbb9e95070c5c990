"""What operators do and see: cancel, drain, a store that loses its past, repeats, redis-cli, logs."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

from kit import nodes
from kit.clients import Client
from kit.eventually import eventually
from kit.nodes import Node
from kit.proof import proof, utterance
from kit.schedulers import Cluster, cluster, start_scheduler

if TYPE_CHECKING:
    from pathlib import Path

    from kit.schedulers import SchedulerProcess

Answer = tuple[int, Any]


async def ask(scheduler: SchedulerProcess, path: str, method: str = "GET", body: object = None) -> Answer:
    return await asyncio.to_thread(scheduler.ask, path, method, body)


async def test_a_job_cancelled_by_http_on_any_instance_reaches_its_node(two: Cluster, pair: tuple[str, str]) -> None:
    async with Node(two.urls[0], pair[:1], pair[1:], nodes.confirm) as node, Client(two.urls[0]) as client:
        await client.open(*pair)
        index = await client.say(utterance())
        job = await node.job()
        assert (await ask(two.schedulers[1], f"/api/v1/jobs/{job.job_id}/cancel", "POST"))[0] == 200
        failed = await client.outcome(index)
        assert (failed["type"], failed["code"], failed["retryable"]) == ("utterance_failed", "JOB_CANCELLED", False)
        await client.until(lambda: job.cancelled is not None, what="the node is told")
        assert (await ask(two.schedulers[0], f"/api/v1/jobs/{job.job_id}"))[1]["status"] == "cancelled"
        again = await ask(two.schedulers[1], f"/api/v1/jobs/{job.job_id}/cancel", "POST")
        assert (again[0], again[1]["cancelled"]) == (200, False)


async def test_jobs_of_a_client_that_goes_are_taken_back(two: Cluster, pair: tuple[str, str]) -> None:
    async with Node(two.urls[1], pair[:1], pair[1:], nodes.confirm) as node:
        async with Client(two.urls[0]) as client:
            await client.open(*pair)
            await client.say(utterance())
            job = await node.job()
            client.drop()
        await eventually(lambda: job.cancelled is not None, what="the node is told")
        other = utterance()
        node.act = nodes.answer
        async with Client(two.urls[0]) as next_client:
            await next_client.open(*pair)
            await next_client.proven(await next_client.say(other), other)


async def test_a_request_that_is_repeated_gets_the_job_it_had(two: Cluster, pair: tuple[str, str]) -> None:
    body = {
        "session_id": f"http-{pair[0]}",
        "src_lang": pair[0],
        "tgt_lang": pair[1],
        "payload": base64.b64encode(utterance()).decode(),
        "request_id": f"request-{pair[0]}",
    }
    async with Node(two.urls[0], pair[:1], pair[1:], nodes.after(0.2)) as node:
        first, again = [await ask(scheduler, "/api/v1/dispatch", "POST", body) for scheduler in two.schedulers]
        assert (first[0], again[0]) == (202, 202), again
        assert first[1]["job_id"] == again[1]["job_id"]
        await node.job()
    assert len(node.jobs) == 1


async def test_an_utterance_that_is_repeated_is_translated_once(two: Cluster, pair: tuple[str, str]) -> None:
    audio = utterance()
    async with Node(two.urls[1], pair[:1], pair[1:]) as node, Client(two.urls[0]) as client:
        await client.open(*pair)
        for _ in range(3):
            await client.whole(5, audio, *pair)
        await client.proven(5, audio)
        await client.whole(5, utterance(), *pair)
        assert (await client.event("error"))["code"] == "DUPLICATE_UTTERANCE_INDEX"
        await client.close()
        assert (len(node.jobs), len(client.outcomes())) == (1, 1)


async def test_redis_cli_shows_the_documented_names_and_no_audio(two: Cluster, pair: tuple[str, str]) -> None:
    async with Node(two.urls[0], pair[:1], pair[1:], nodes.confirm) as node, Client(two.urls[1]) as client:
        await client.open(*pair)
        await client.say(utterance())
        job = await node.job()
        await node.partial(job, job.text)
        await client.event("asr_partial")
        with two.redis() as redis:
            root, (pool,) = "lingua:v1:", redis.smembers(f"lingua:v1:pool:{pair[0]}:{pair[1]}")
            name = str(node.node_id).encode()
            assert name in redis.smembers(root + "nodes:all")
            assert redis.zscore(root + "nodes:lease", name)
            assert name in redis.zrange(f"{root}pool:{pool.decode()}:nodes", 0, -1)
            assert redis.hget(f"{root}node:{node.node_id}", "load") == b"1"
            assert redis.smembers(f"{root}node:{node.node_id}:jobs") == {job.job_id.encode()}
            assert redis.hget(f"{root}job:{job.job_id}", "node_id") == name
            assert 0 < redis.ttl(f"{root}job:{job.job_id}") <= 3600 + 86_400, "a day more while it is under way"
            assert redis.zscore(root + "jobs:deadline", job.job_id)
            assert redis.hget(f"scheduler:session:{client.session_id}", "node_id") == name
            assert {b"scheduler-0", b"scheduler-1"} <= set(redis.zrange(root + "instances", 0, -1))
        two.assert_nothing_leaked()
        await node.result(job)
        await client.event("translation_result")
        with two.redis() as redis:
            assert 0 < redis.ttl(f"{root}job:{job.job_id}") <= 3600
        await client.close()
    two.assert_nothing_leaked()


async def test_a_store_that_loses_everything_is_told_again_and_work_goes_on(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    with cluster(tmp_path, 2) as both:
        await _survive_a_flush(both, pair)


async def _survive_a_flush(both: Cluster, pair: tuple[str, str]) -> None:
    audio = utterance()
    async with (
        Node(both.urls[0], pair[:1], pair[1:], nodes.after(0.05), extensions=()) as base,
        Node(both.urls[1], pair[:1], pair[1:], nodes.after(0.05)) as extended,
        Client(both.urls[0]) as client,
        Client(both.urls[1], extensions=()) as base_client,
    ):
        for one in (client, base_client):
            await one.open(*pair)
            await one.proven(await one.say(audio), audio)
        both.store.flush()
        for one in (client, base_client):
            await one.outcome(await one.say(audio))

        def all_told_again() -> bool:
            with both.redis() as redis:
                known = redis.smembers("lingua:v1:nodes:all")
                found = [redis.exists(f"scheduler:session:{one.session_id}") for one in (client, base_client)]
            return known == {str(node.node_id).encode() for node in (base, extended)} and all(found)

        await eventually(all_told_again, what="nodes and sessions are in the store again")
        for one in (client, base_client):
            said = utterance()
            await one.proven(await one.say(said), said)
            assert await one.close() == 1000


async def test_a_drain_finishes_what_was_spoken_tells_everybody_and_ends_with_0(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    with cluster(tmp_path, 2) as both:
        await _drain_one(both, pair)


async def _drain_one(both: Cluster, pair: tuple[str, str]) -> None:
    leaving, staying = both.schedulers
    audio = utterance()
    async with (
        Node(staying.url, pair[:1], pair[1:], nodes.confirm) as node,
        Node(leaving.url, pair[:1], pair[1:], nodes.answer) as leaver,
        Client(leaving.url) as client,
        Client(leaving.url, extensions=()) as base_client,
    ):
        await leaver.beat(status="draining")
        await client.open(*pair)
        await base_client.open(*pair)
        index = await client.say(audio)
        job = await node.job()
        await client.stream(said := utterance(), last=False)
        leaving.terminate()
        away = await client.event("going_away")
        assert (away["reason"], away["deadline_ms"] > 0) == ("drain", True)
        assert (await ask(leaving, "/health/ready"))[0] == 503
        assert (await ask(leaving, "/health/live"))[0] == 200
        assert await base_client.closed() == 1001
        assert not base_client.all("error")
        assert not base_client.all("going_away")
        await node.result(job)
        await client.proven(index, audio)
        last = await node.job(2)
        assert last.audio == said, "what was being spoken is cut and translated"
        await node.result(last)
        await client.proven(last.index, said)
        assert await client.closed() == 1012
        assert await leaver.closed() in (1001, 1012)
    assert await asyncio.to_thread(leaving.wait) == 0
    with both.redis() as redis:
        assert redis.zrange("lingua:v1:instances", 0, -1) == [staying.name.encode()]


async def test_a_scheduler_with_a_bad_setting_says_which_and_ends(tmp_path: Path) -> None:
    started = start_scheduler(tmp_path, "redis://127.0.0.1:1/0", "bad", job_attempts="many")
    assert await asyncio.to_thread(started.wait) == 78
    assert "LINGUA_JOB_ATTEMPTS='many'" in started.log.read_text()


async def test_a_job_dispatched_over_http_is_done_and_can_be_looked_at(two: Cluster, pair: tuple[str, str]) -> None:
    audio = utterance()
    async with Node(two.urls[1], pair[:1], pair[1:], extensions=()) as node:
        body = {
            "session_id": f"http-{pair[0]}",
            "src_lang": pair[0],
            "tgt_lang": pair[1],
            "payload": base64.b64encode(audio).decode(),
        }
        status, told = await ask(two.schedulers[0], "/api/v1/dispatch", "POST", body)
        assert status == 202, told
        job = await node.job()
        assert job.text == proof(job.assign["session_id"], job.index, audio)

        async def completed() -> bool:
            return bool((await ask(two.schedulers[1], f"/api/v1/jobs/{told['job_id']}"))[1]["status"] == "completed")

        await eventually(completed)


async def test_an_autoscaler_reads_the_sessions_of_an_instance_as_one_sample(
    two: Cluster, pair: tuple[str, str]
) -> None:
    scheduler = two.schedulers[0]
    before = scheduler.metric("lingua_sessions")
    async with (
        Node(two.urls[0], pair[:1], pair[1:]),
        Client(scheduler.url) as one,
        Client(scheduler.url, extensions=()) as other,
    ):
        await one.open(*pair)
        await other.open(*pair)
        assert scheduler.metric("lingua_sessions") == before + 2
    await eventually(lambda: scheduler.metric("lingua_sessions") == before, what="both are gone")
