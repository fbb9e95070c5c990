"""Autoscaling seen to work: schedulers follow their sessions, a fleet follows what waits; nobody loses an utterance."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from kit.kind_kube import is_ready, note
from kit.kind_release import first_result
from kit.kind_speech import keeping_quiet, more_heard, silent_sessions, talking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.kind_kube import Kube
    from kit.kind_release import Installed

_SCHEDULER = "lingua-scheduler"
_SESSIONS = 40
_STAYING = 10
#: 70 % of it are 10: forty sessions want four pods, and none does with fewer than three.
_SESSIONS_PER_POD = 15

_KEDA = {
    "scheduler": {
        "maxSessionsPerPod": _SESSIONS_PER_POD,
        "settings": {"LINGUA_SESSION_IDLE_WARN_MS": "1800000", "LINGUA_SESSION_IDLE_CLOSE_MS": "1900000"},
        "autoscaling": {
            "mode": "keda",
            "maxReplicas": 4,
            # Nothing in this cluster measures CPU.
            "cpuPercent": 0,
            "scaleDownWaitSeconds": 15,
            "scaleDownPeriodSeconds": 15,
            "keda": {"source": "pods", "pollingSeconds": 5},
        },
    },
}


async def test_schedulers_follow_their_sessions_up_and_down_and_no_utterance_is_lost(lingua: Installed) -> None:
    kube = lingua.kube
    await lingua.release.upgrade(_KEDA)
    await kube.until_true("scaledobject", _SCHEDULER, "Ready")
    try:
        await _grow_and_shrink(kube)
    finally:
        await lingua.release.upgrade({})
    await first_result()


async def _grow_and_shrink(kube: Kube) -> None:
    # Two talk all the while; ten keep quiet until the pods have left, and some of them sit where one leaves.
    async with talking(2) as crowd:
        async with keeping_quiet(_STAYING) as staying:
            started = time.monotonic()
            async with silent_sessions(_SESSIONS - _STAYING):
                await kube.until("four scheduler pods", lambda: _ready_pods(kube, 4), within_s=240)
                up_s = time.monotonic() - started
                await kube.show("40 sessions are open", "get", "hpa,scaledobject")
                await more_heard(crowd, 1)
            down_s = await kube.until("two scheduler pods", lambda: _ready_pods(kube, 2), within_s=420)
        await more_heard(crowd, 1)
    told = f"up {up_s:.0f} s, down {down_s:.0f} s; talking: {crowd.summary()}; quiet: {staying.summary()}"
    note("schedulers 2 -> 4 -> 2", told)
    await kube.show("the autoscaler's own words", "describe", "hpa", f"keda-hpa-{_SCHEDULER}")
    assert staying.events["GoingAway"] > 0, "nobody sat on a pod that left"


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


async def _ready_pods(kube: Kube, count: int) -> bool:
    pods = await kube.list("pods", app_kubernetes_io__component="scheduler")
    return len(pods) == count and all(is_ready(pod) for pod in pods)


async def _replicas(kube: Kube, count: int, *, at_most: bool = False) -> bool:
    fleet = await kube.get("tfleet", "lingua-node") or {}
    ready = int(fleet.get("status", {}).get("readyReplicas", 0))
    return ready == count if at_most else ready >= count
