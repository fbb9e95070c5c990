"""The HTTP face of real scheduler processes: speech goes in on one instance, a node of the other does the work."""

from __future__ import annotations

import asyncio
import base64
import functools
import io
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kit.clients import Client
from kit.eventually import PATIENCE_S, eventually
from kit.nodes import Node, after, confirm, failing
from kit.proof import proof, speech_of, utterance
from kit.schedulers import Cluster, SchedulerProcess, cluster
from lingua_wire.audio import parse_wav, write_wav

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.nodes import Act

EXTENDED = ("binary_audio", "digest", "fast_lease")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two schedulers on one store."""
    with cluster(tmp_path_factory.mktemp("real"), 2, job_wait_ms=1_500) as running:
        yield running


async def post(url: str, path: str, body: bytes | dict[str, Any], **headers: str) -> tuple[int, Any]:
    sent: dict[str, Any] = {"json": body} if isinstance(body, dict) else {"data": io.BytesIO(body)}
    async with aiohttp.ClientSession() as http, http.post(url + path, headers=headers, **sent) as answer:
        told = await answer.read()
        return answer.status, (await answer.json(content_type=None) if "json" in answer.content_type else told)


def node_at(scheduler: SchedulerProcess, act: Act, languages: tuple[str, str], extended: bool = True) -> Node:
    """Make a node of a pair that only this test uses."""
    hears, speaks = languages
    return Node(scheduler.url, (hears,), (speaks,), act, extensions=EXTENDED if extended else ())


@pytest.mark.parametrize("extended", [True, False])
@pytest.mark.parametrize("where", [0, 1])
async def test_a_recording_becomes_the_nodes_text_and_speech_wherever_the_node_is(
    two: Cluster, where: int, extended: bool
) -> None:
    audio = utterance()
    pair = (f"a{'xy'[where]}", f"b{'xy'[extended]}")
    async with node_at(two.schedulers[where], after(0.01), pair, extended) as node:
        query = f"/api/v1/translate?src={pair[0]}&tgt={pair[1]}"
        status, told = await post(two.urls[0], query, write_wav(audio, 16_000))
        assert status == 200, told
        assert told["text"] == proof(told["session_id"], 0, audio)
        assert (told["node_id"], told["job_id"]) == (node.node_id, node.jobs[0].job_id)
        speech = bytes(parse_wav(base64.b64decode(told["speech"])).pcm)
        assert speech == speech_of(told["text"])
        for url in two.urls:
            seen = await get(url, f"/api/v1/jobs/{told['job_id']}")
            assert (seen["status"], seen["node_id"]) == ("completed", node.node_id)


async def get(url: str, path: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(url + path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_session_of_another_tenant_is_not_touched_by_a_dispatch(two: Cluster) -> None:
    body = {"src_lang": "fx", "tgt_lang": "fy", "payload": base64.b64encode(utterance()).decode()}
    async with node_at(two.schedulers[0], after(0), ("fx", "fy")), Client(two.urls[1]) as client:
        await client.open("fx", "fy", tenant_id="ours")
        body["session_id"] = client.session_id
        status, told = await post(two.urls[0], "/api/v1/dispatch", body | {"tenant": "theirs"})
        assert (status, told["code"]) == (404, "INVALID_SESSION")
        before = await get(two.urls[0], "/api/v1/sessions")
        assert not [one for one in before["sessions"] if one["session_id"] == client.session_id and one["node_id"]]
        status, told = await post(two.urls[0], "/api/v1/dispatch", body | {"tenant": "ours"})
        assert status == 202, told


async def test_the_audio_of_a_call_counts_as_held_until_its_node_has_it(two: Cluster) -> None:
    held = functools.partial(two.schedulers[0].metric, "lingua_audio_held_bytes")
    audio = utterance()
    calling = asyncio.create_task(post(two.urls[0], "/api/v1/translate?src=gx&tgt=gy", write_wav(audio, 16_000)))
    await eventually(lambda: held() == len(audio))
    async with node_at(two.schedulers[1], after(0), ("gx", "gy")):
        assert (await calling)[0] == 200
    await eventually(lambda: held() == 0)


async def test_the_bare_speech_comes_as_a_wav(two: Cluster) -> None:
    async with node_at(two.schedulers[0], after(0), ("cx", "cy")):
        status, body = await post(
            two.urls[0], "/api/v1/translate?src=cx&tgt=cy", write_wav(utterance(), 16_000), Accept="audio/wav"
        )
    assert status == 200
    assert parse_wav(body).sample_rate == 16_000


async def test_a_pair_nobody_serves_is_a_503_or_422_within_the_wait(two: Cluster) -> None:
    status, told = await post(two.urls[0], "/api/v1/translate?src=dx&tgt=dy", write_wav(utterance(), 16_000))
    assert (status, told["code"]) in {(503, "NO_AVAILABLE_NODE"), (422, "PAIR_NOT_OFFERED")}


async def test_a_job_that_every_node_fails_tells_the_nodes_code(two: Cluster) -> None:
    async with node_at(two.schedulers[0], failing("NMT_TIMEOUT"), ("ex", "ey")):
        status, told = await post(two.urls[0], "/api/v1/translate?src=ex&tgt=ey", write_wav(utterance(), 16_000))
    assert status in {502, 503, 504}
    assert "test wants" not in str(told), "a node's own words are not for callers"


async def test_a_caller_that_leaves_frees_the_node(two: Cluster) -> None:
    async with node_at(two.schedulers[1], confirm, ("fx", "fy")) as node:
        calling = asyncio.ensure_future(
            post(two.urls[0], "/api/v1/translate?src=fx&tgt=fy", write_wav(utterance(), 16_000))
        )
        job = await node.job()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)

        async def cancelled() -> bool:
            return bool((await get(two.urls[0], f"/api/v1/jobs/{job.job_id}"))["status"] == "cancelled")

        await eventually(cancelled, what="the job is cancelled")
        await eventually(lambda: job.cancelled is not None, what="the node is told")
        assert (await get(two.urls[0], f"/api/v1/nodes/{node.node_id}"))["load"] == 0


async def test_a_dispatched_job_goes_on_by_itself(two: Cluster) -> None:
    body = {
        "session_id": "by-http", "src_lang": "gx", "tgt_lang": "gy", "payload": base64.b64encode(utterance()).decode(),
    }  # fmt: skip
    async with node_at(two.schedulers[1], after(0.05), ("gx", "gy")) as node:
        status, told = await post(two.urls[0], "/api/v1/dispatch", body)
        assert (status, told["node_id"], told["session_id"]) == (202, node.node_id, "by-http")

        async def completed() -> bool:
            return bool((await get(two.urls[1], f"/api/v1/jobs/{told['job_id']}"))["status"] == "completed")

        await eventually(completed, what="the job completes")


async def test_any_instance_cancels_any_job(two: Cluster) -> None:
    async with node_at(two.schedulers[0], confirm, ("hx", "hy")) as node:
        calling = asyncio.ensure_future(
            post(two.urls[0], "/api/v1/translate?src=hx&tgt=hy", write_wav(utterance(), 16_000))
        )
        job = await node.job()
        status, told = await post(two.urls[1], f"/api/v1/jobs/{job.job_id}/cancel", b"")
        assert (status, told["cancelled"]) == (200, True)
        status, told = await asyncio.wait_for(calling, PATIENCE_S)
        assert (status, told["code"]) == (409, "JOB_CANCELLED")
        await eventually(lambda: job.cancelled is not None, what="the node is told")


async def test_a_drained_node_gets_nothing_until_it_is_undrained(two: Cluster) -> None:
    wav = write_wav(utterance(), 16_000)
    async with node_at(two.schedulers[1], after(0), ("ix", "iy")) as node:
        await post(two.urls[0], f"/api/v1/nodes/{node.node_id}/drain", b"")
        status, told = await post(two.urls[0], "/api/v1/translate?src=ix&tgt=iy", wav)
        assert (status, told["code"]) == (503, "NO_AVAILABLE_NODE")
        waiting = asyncio.ensure_future(post(two.urls[0], "/api/v1/translate?src=ix&tgt=iy", wav))
        await eventually(lambda: waits(two.urls[1], "ix"), what="the job waits")
        await post(two.urls[1], f"/api/v1/nodes/{node.node_id}/undrain", b"")
        status, told = await waiting
        assert (status, told["node_id"]) == (200, node.node_id)


async def waits(url: str, source: str) -> bool:
    rows = (await get(url, f"/api/v1/pairs?src={source}"))["pairs"]
    return any(row["waiting"] for row in rows)


async def test_both_instances_tell_the_same_about_the_cell(two: Cluster) -> None:
    async with node_at(two.schedulers[0], after(0), ("jx", "jy")) as node:
        for url in two.urls:
            assert node.node_id in {row["node_id"] for row in (await get(url, "/api/v1/nodes"))["nodes"]}
            told = await get(url, "/api/v1/explain?src=jx&tgt=jy")
            assert told["chosen"] == node.node_id
            assert {row["instance_id"] for row in (await get(url, "/api/v1/cluster"))["instances"]} == {
                "scheduler-0", "scheduler-1",
            }  # fmt: skip


async def test_nothing_of_all_this_is_in_the_store_or_in_a_log(two: Cluster) -> None:
    async with node_at(two.schedulers[1], after(0), ("kx", "ky")):
        await post(two.urls[0], "/api/v1/translate?src=kx&tgt=ky", write_wav(utterance(), 16_000))
    two.assert_nothing_leaked()
