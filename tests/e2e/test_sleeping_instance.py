"""A scheduler that slept while the others went on: what it held is not lost, and it disturbs nobody when it wakes."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import pytest

from kit import nodes
from kit.clients import Client
from kit.eventually import eventually
from kit.nodes import Node
from kit.proof import utterance
from kit.schedulers import cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from kit.nodes import Job
    from kit.schedulers import Cluster, SchedulerProcess

pytestmark = pytest.mark.timeout(240)
RESUME = ("binary_audio", "audio_ack", "finalize_reports", "resume")


@contextmanager
def asleep(scheduler: SchedulerProcess) -> Iterator[None]:
    """Stop a scheduler where it is, for as long as the block runs."""
    scheduler.pause()
    try:
        yield
    finally:
        scheduler.go_on()


async def status(both: Cluster, job: Job, wanted: bytes) -> None:
    with both.redis() as redis:
        name = f"lingua:v1:job:{job.job_id}"
        await eventually(lambda: redis.hget(name, "status") == wanted, what=f"the job is {wanted!r}")


async def ended_for_want_of_its_owner(both: Cluster, job: Job) -> None:
    """Let the time of a job's attempt run out, and then the time that its owner has to give it the next one."""
    for after in (b"pending", b"failed"):
        with both.redis() as redis:
            seconds, micros = redis.time()
            # Due just now: what is overdue by far more begins its time anew, as after a jump of the clock.
            redis.zadd("lingua:v1:jobs:deadline", {job.job_id: seconds * 1000 + micros // 1000}, xx=True)
        await status(both, job, after)


@asynccontextmanager
async def at_work(both: Cluster) -> AsyncIterator[tuple[Client, Node, Job, bytes]]:
    """Let a node of the second scheduler work on what a client of the first one said."""
    audio = utterance()
    async with (
        Node(both.urls[1], ("en",), ("es",), nodes.confirm) as node,
        Client(both.urls[0], extensions=RESUME) as client,
    ):
        await client.open("en", "es")
        await client.say(audio)
        job = await node.job(within_s=30)
        await status(both, job, b"accepted")
        yield client, node, job, audio


async def test_audio_that_went_to_a_node_is_asked_for_again_when_its_job_was_ended_meanwhile(tmp_path: Path) -> None:
    with cluster(tmp_path, 2) as both:
        async with at_work(both) as (client, _, job, audio):
            with asleep(both.schedulers[0]):
                await ended_for_want_of_its_owner(both, job)
            failed = await client.outcome(0, within_s=40)
            assert (failed["type"], failed["code"]) == ("utterance_failed", "JOB_TIMEOUT")
            assert (failed["resend_from_sample"], failed["resend_to_sample"]) == (0, len(audio) // 2)


async def test_audio_that_is_still_held_gets_another_job_when_its_first_was_ended_meanwhile(tmp_path: Path) -> None:
    with cluster(tmp_path, 2, audio_release="result") as both:
        async with at_work(both) as (client, node, job, audio):
            with asleep(both.schedulers[0]):
                await ended_for_want_of_its_owner(both, job)
                node.act = nodes.answer
            await client.proven(0, audio, within_s=40)
            assert [event["type"] for event in client.outcomes()] == ["translation_result"]


async def test_a_scheduler_that_wakes_starts_no_job_for_a_session_that_went_on_elsewhere(tmp_path: Path) -> None:
    with cluster(tmp_path, 2) as both:
        sleeper, staying = both.schedulers
        async with (
            Node(staying.url, ("en",), ("es",)) as node,
            Client(sleeper.url, extensions=RESUME) as first,
            Client(staying.url, extensions=RESUME) as second,
        ):
            await first.open("en", "es")
            with asleep(sleeper):
                stale = utterance()
                await first.stream(stale)
                await second.resume(first, "en", "es", from_sample=0, from_index=0, held_sample=0)
            # What the older connection said is read and cut now, and the store knows better.
            assert await first.closed(within_s=40) == 4409
            assert sleeper.metric("lingua_sessions_fenced_total", write="dispatch") >= 1
            said = utterance()
            await second.proven(await second.say(said), said)
            assert [job.audio for job in node.jobs] == [said]
            await eventually(lambda: sleeper.metric("lingua_audio_held_bytes") == 0, what="no audio stays")


async def test_what_could_get_no_job_before_a_session_moved_is_asked_for_again(tmp_path: Path) -> None:
    with cluster(tmp_path, 2) as both:
        audio = utterance()
        async with (
            Node(both.urls[1], ("en",), ("es",)),
            Client(both.urls[0], extensions=RESUME) as first,
            Client(both.urls[1], extensions=RESUME) as second,
        ):
            await first.open("en", "es")
            with both.redis() as redis:
                redis.hincrby(f"scheduler:session:{first.session_id}", "generation", 1)
            await first.say(audio)
            refused = both.schedulers[0]
            await eventually(lambda: refused.metric("lingua_sessions_fenced_total", write="dispatch") == 1)
            resumed = await second.resume(first, "en", "es", from_sample=0, from_index=0, held_sample=0)
            if resumed["resume_from_sample"] > 0:
                # The one before was asked in time, and told that this utterance has no job.
                failed = await second.outcome(0)
                assert (failed["resend_from_sample"], failed["resend_to_sample"]) == (0, len(audio) // 2)
            await second.proven(await second.say(audio), audio)
