"""What happens all day long in a cluster, while people talk: roll-outs, pods that die, a store that forgets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from kit.kind_kube import is_ready, note
from kit.kind_speech import more_heard, talking

if TYPE_CHECKING:
    from kit.kind_kube import Kube
    from kit.kind_release import Installed

_SPEAKERS = 3


async def part(kube: Kube, component: str) -> list[dict[str, Any]]:
    """List the pods of one part of the release."""
    return await kube.list("pods", app_kubernetes_io__component=component)


async def uids(kube: Kube, component: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in await part(kube, component)}


async def rolled_out(kube: Kube) -> None:
    await kube.ctl("rollout", "status", "deployment/lingua-scheduler", "--timeout=240s", within_s=260)


@pytest.fixture(autouse=True)
async def _whole(lingua: Installed) -> None:
    """Begin each test with everything up."""
    await rolled_out(lingua.kube)
    await lingua.kube.until_true("tfleet", "lingua-node", "Ready", within_s=180)


async def test_a_rolling_update_of_the_schedulers_loses_nothing_and_doubles_nothing(lingua: Installed) -> None:
    kube = lingua.kube
    before = await uids(kube, "scheduler")
    async with talking(_SPEAKERS) as crowd:
        await more_heard(crowd, 1)
        started = time.monotonic()
        await kube.ctl("rollout", "restart", "deployment/lingua-scheduler")
        await rolled_out(kube)
        took_s = time.monotonic() - started
        await kube.until("the old pods are gone", lambda: _none_of(kube, before))
        await more_heard(crowd, 1)
    note("rollout restart while people talk", f"rolled out after {took_s:.0f} s; {crowd.summary()}")
    await kube.show("after the rollout", "get", "pods", "-o", "wide")


async def test_helm_upgrade_with_other_values_rolls_out_and_loses_nothing(lingua: Installed) -> None:
    kube = lingua.kube
    changed = {"scheduler": {"maxSessionsPerPod": 123}, "node": {"maxJobs": 3}}
    try:
        async with talking(_SPEAKERS) as crowd:
            await more_heard(crowd, 1)
            await lingua.release.upgrade(changed)
            await kube.until("the fleet has the new capacity", lambda: _fleet_takes(kube, 3), within_s=180)
            await kube.until_true("tfleet", "lingua-node", "Ready", within_s=240)
            await more_heard(crowd, 1)
        note("helm upgrade while people talk", crowd.summary())
        limit = await kube.ctl(
            "get", "deployment", "lingua-scheduler", "-o", "jsonpath={..env[?(@.name=='LINGUA_SESSION_LIMIT')].value}"
        )
        assert limit == "123"
    finally:
        await lingua.release.upgrade({})
    await kube.until("the fleet is as before", lambda: _fleet_takes(kube, 2), within_s=180)


async def test_a_scheduler_that_is_killed_loses_no_utterance(lingua: Installed) -> None:
    kube = lingua.kube
    async with talking(_SPEAKERS) as crowd:
        await more_heard(crowd, 1)
        victim = (await part(kube, "scheduler"))[0]["metadata"]["name"]
        await kube.delete("pod", victim, "--grace-period=0", "--force", "--wait=false")
        await more_heard(crowd, 2)
    note("a scheduler killed while people talk", crowd.summary())


async def test_a_store_that_was_emptied_is_repaired_within_30_seconds(lingua: Installed) -> None:
    kube = lingua.kube
    before = await uids(kube, "node")
    changed = {name: await _generation(kube, name) for name in await _tnodes(kube)}
    assert changed
    await _flush(kube)
    started = time.monotonic()
    await kube.until("the nodes are known again", lambda: _known_to_schedulers(kube, set(changed)), within_s=60)
    took_s = time.monotonic() - started
    async with talking(1) as crowd:
        await more_heard(crowd, 1)
    spoken_s = time.monotonic() - started
    note("FLUSHALL", f"nodes known again after {took_s:.1f} s, speech translated {spoken_s:.1f} s after it")
    assert took_s <= 30
    assert await uids(kube, "node") == before, "a pod was replaced"
    assert {name: await _generation(kube, name) for name in await _tnodes(kube)} == changed


async def test_an_operator_that_dies_changes_nothing_that_runs(lingua: Installed) -> None:
    kube = lingua.kube
    parts = ("scheduler", "node")
    before = {name: await uids(kube, name) for name in parts}
    operator = await uids(kube, "operator")
    async with talking(2) as crowd:
        await more_heard(crowd, 1)
        for pod in await part(kube, "operator"):
            await kube.delete("pod", pod["metadata"]["name"], "--grace-period=0", "--force", "--wait=false")
        await kube.until("another operator is ready", lambda: _another_is_ready(kube, operator), within_s=180)
        await more_heard(crowd, 1)
    note("the operator killed while people talk", crowd.summary())
    assert {name: await uids(kube, name) for name in parts} == before
    for name in parts:
        assert all(is_ready(pod) for pod in await part(kube, name))


async def _none_of(kube: Kube, before: set[str]) -> bool:
    return not before & await uids(kube, "scheduler")


async def _fleet_takes(kube: Kube, jobs: int) -> bool:
    nodes = await kube.list("tnode", lingua_dev__fleet="lingua-node")
    return bool(nodes) and all(node["spec"]["capacity"]["maxJobs"] == jobs for node in nodes)


async def _tnodes(kube: Kube) -> list[str]:
    return [node["metadata"]["name"] for node in await kube.list("tnode")]


async def _generation(kube: Kube, name: str) -> int:
    return int((await kube.get("tnode", name) or {})["metadata"]["generation"])


async def _another_is_ready(kube: Kube, before: set[str]) -> bool:
    return any(is_ready(pod) and pod["metadata"]["uid"] not in before for pod in await part(kube, "operator"))


async def _flush(kube: Kube) -> None:
    """Empty the store from a scheduler's pod, which has a client and the address."""
    program = (
        "import os, redis; url = open(os.environ['LINGUA_REDIS_URL_FILE']).read().strip();"
        "print(redis.Redis.from_url(url).execute_command('FLUSHALL', 'SYNC'))"
    )
    assert "True" in await kube.ctl("exec", "deploy/lingua-scheduler", "--", "python", "-c", program)


async def _known_to_schedulers(kube: Kube, names: set[str]) -> bool:
    told = await kube.ctl("exec", "deploy/lingua-scheduler", "--", "lingua", "nodes", "--json")
    return all(f'"{kube.namespace}.{name}"' in told for name in names)
