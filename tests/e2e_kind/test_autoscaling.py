"""Autoscaling seen to work: schedulers follow their sessions, a fleet follows what waits; nobody loses an utterance."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from kit.kind_kube import is_ready, note
from kit.kind_metrics import pod_metrics_served
from kit.kind_release import built_tag, first_result, image_name
from kit.kind_speech import keeping_quiet, more_heard, silent_sessions, talking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.kind_kube import Kube
    from kit.kind_release import Installed

_SCHEDULER = "lingua-scheduler"
#: Silent sessions that come and go, and some that stay. Half of a pod's sessions are ten (kit.kind_release): with the
#: first there is work for four pods, without them for two.
_PASSING, _STAYING = 38, 10
#: The lowest goes first when a ReplicaSet shrinks.
_COST = "controller.kubernetes.io/pod-deletion-cost"

#: Nothing in this cluster measures CPU; and fifteen seconds are enough to see that less has stayed less.
_HURRIED = {
    "maxReplicas": 4,
    "sessionsPercent": 50,
    "cpuPercent": 0,
    "scaleDownWaitSeconds": 15,
    "scaleDownPeriodSeconds": 15,
}
_KEDA = {"mode": "keda", "keda": {"source": "pods", "pollingSeconds": 5}}


async def test_keda_lets_schedulers_follow_their_sessions_and_no_utterance_is_lost(lingua: Installed) -> None:
    async with _autoscaled(lingua, _KEDA):
        await lingua.kube.until_true("scaledobject", _SCHEDULER, "Ready")
        await _grow_and_shrink(lingua.kube, f"keda-hpa-{_SCHEDULER}")


async def test_an_autoscaler_on_pod_metrics_lets_schedulers_follow_their_sessions_and_no_utterance_is_lost(
    lingua: Installed,
) -> None:
    async with pod_metrics_served(image_name("scheduler", built_tag())), _autoscaled(lingua, {"mode": "hpa"}):
        await lingua.kube.until_true("hpa", _SCHEDULER, "ScalingActive")
        await _grow_and_shrink(lingua.kube, _SCHEDULER)


@asynccontextmanager
async def _autoscaled(lingua: Installed, mode: dict[str, Any]) -> AsyncIterator[None]:
    """Let an autoscaler have the schedulers for a while: no pod comes or goes by that alone."""
    before = await _uids(lingua.kube)
    await lingua.release.upgrade({"scheduler": {"autoscaling": _HURRIED | mode}})
    assert await _uids(lingua.kube) == before, "pods were replaced"
    try:
        yield
    finally:
        await lingua.release.upgrade({})
    await first_result()


async def _grow_and_shrink(kube: Kube, autoscaler: str) -> None:
    # Those who talk and those who keep quiet all sit on the two pods that will leave.
    for pod in await _pods(kube):
        await kube.ctl("annotate", "pod", pod["metadata"]["name"], f"{_COST}=-1")
    leaving = await _uids(kube)
    async with talking(2) as crowd, keeping_quiet(_STAYING) as staying:
        started = time.monotonic()
        async with silent_sessions(_PASSING):
            await kube.until("four scheduler pods", lambda: _ready_pods(kube, 4), within_s=240)
            up_s = time.monotonic() - started
            await kube.show(f"{_PASSING + _STAYING + 2} sessions are open", "get", "hpa", autoscaler)
            await more_heard(crowd, 1)
        down_s = await kube.until("two scheduler pods", lambda: _ready_pods(kube, 2), within_s=420)
        await more_heard(crowd, 1)
    told = f"up {up_s:.0f} s, down {down_s:.0f} s; talking: {crowd.summary()}; quiet: {staying.summary()}"
    note(f"schedulers 2 -> 4 -> 2 by {autoscaler}", told)
    await kube.show("the autoscaler's own words", "describe", "hpa", autoscaler)
    assert not leaving & await _uids(kube), "another pod left"
    assert all(each.events["GoingAway"] for each in staying.speakers), "somebody on a pod that left was not told"


async def test_a_fleet_follows_the_waiting_time_of_its_pairs(lingua: Installed) -> None:
    kube = lingua.kube
    # Nodes of one job each: six who talk at once are more than one of them can hear.
    await lingua.release.upgrade({"node": {"maxJobs": 1}})
    await kube.until_true("tfleet", "lingua-node", "Ready", within_s=180)
    try:
        async with _scaled_fleet(kube), talking(1) as crowd:
            await more_heard(crowd, 1)
            async with talking(5) as more:
                up_s = await kube.until("more nodes", lambda: _replicas(kube, 2), within_s=300)
                await kube.show("six people talk", "get", "tnode,tfleet,hpa")
                await more_heard(more, 1, within_s=240)
            down_s = await kube.until("one node", lambda: _replicas(kube, 1, at_most=True), within_s=420)
            await more_heard(crowd, 1)
    finally:
        await lingua.release.upgrade({})
    note("a fleet 1 -> 2.. -> 1", f"up {up_s:.0f} s, down {down_s:.0f} s; {more.summary()}; {crowd.summary()}")


@asynccontextmanager
async def _scaled_fleet(kube: Kube) -> AsyncIterator[None]:
    """Let KEDA scale the fleet by what the operator says it needs."""
    await kube.apply(_fleet_scaling(kube.namespace))
    await kube.until_true("scaledobject", "lingua-node", "Ready")
    try:
        yield
    finally:
        await kube.delete("scaledobject", "lingua-node")
        await kube.ctl("scale", "tfleet", "lingua-node", "--replicas=1")


def _fleet_scaling(namespace: str) -> dict[str, Any]:
    """Write the ScaledObject of docs/autoscaling.md, but in more of a hurry."""
    down = {"stabilizationWindowSeconds": 30, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}
    trigger = {
        "url": f"http://lingua-operator.{namespace}.svc:8080/fleets/{namespace}/lingua-node/demand",
        "valueLocation": "wantedReplicas",
        "targetValue": "1",
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "lingua-node"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "lingua.dev/v1alpha1", "kind": "TranslationFleet", "name": "lingua-node"},
            "minReplicaCount": 1,
            "maxReplicaCount": 3,
            "pollingInterval": 5,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": down}}},
            "triggers": [{"type": "metrics-api", "metricType": "AverageValue", "metadata": trigger}],
        },
    }


async def _pods(kube: Kube) -> list[dict[str, Any]]:
    return await kube.list("pods", app_kubernetes_io__component="scheduler")


async def _uids(kube: Kube) -> set[str]:
    return {pod["metadata"]["uid"] for pod in await _pods(kube)}


async def _ready_pods(kube: Kube, count: int) -> bool:
    pods = await _pods(kube)
    return len(pods) == count and all(is_ready(pod) for pod in pods)


async def _replicas(kube: Kube, count: int, *, at_most: bool = False) -> bool:
    fleet = await kube.get("tfleet", "lingua-node") or {}
    ready = int(fleet.get("status", {}).get("readyReplicas", 0))
    return ready == count if at_most else ready >= count
