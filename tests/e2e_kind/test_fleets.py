"""Fleets of the reference node: scaled by hand, up at once and down without losing a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.kind_kube import is_ready, note
from kit.kind_speech import more_heard, talking

if TYPE_CHECKING:
    from kit.kind_kube import Kube
    from kit.kind_release import Installed

_FLEET = "lingua-node"


async def test_a_fleet_grows_by_kubectl_scale_and_shrinks_through_the_drain_while_people_talk(
    lingua: Installed,
) -> None:
    kube = lingua.kube
    async with talking(3) as crowd:
        await kube.ctl("scale", "tfleet", _FLEET, "--replicas=3")
        up_s = await kube.until("three nodes are ready", lambda: _ready_nodes(kube, 3), within_s=240)
        await kube.show("a fleet scaled to 3", "get", "tnode,tfleet")
        # Those who talk already keep to their node while it has room; three who begin together find three.
        async with talking(3) as late:
            await more_heard(late, 1)
        await more_heard(crowd, 1)
        used = {result.node_id for speaker in late.speakers for result in speaker.results}
        await kube.ctl("scale", "tfleet", _FLEET, "--replicas=1")
        down_s = await kube.until("one node is left", lambda: _ready_nodes(kube, 1), within_s=240)
        await more_heard(crowd, 1)
    note("fleet 1 -> 3 -> 1 while people talk", f"up {up_s:.0f} s, down {down_s:.0f} s; {crowd.summary()}")
    await kube.show("a fleet scaled", "describe", "tfleet", _FLEET)
    assert len(used) > 1, f"only {used} worked"
    await kube.until("one pod is left", lambda: _pods(kube, 1), within_s=120)


async def test_the_scale_of_a_fleet_is_what_an_autoscaler_reads(lingua: Installed) -> None:
    kube = lingua.kube
    await kube.until("the fleet is counted", lambda: _ready_nodes(kube, 1))
    path = f"/apis/lingua.dev/v1alpha1/namespaces/{kube.namespace}/translationfleets/{_FLEET}/scale"
    scale = await kube.ctl("get", "--raw", path)
    assert '"replicas":1' in scale.replace(" ", "")
    assert "lingua.dev/fleet=" in scale


async def _ready_nodes(kube: Kube, count: int) -> bool:
    nodes = await kube.list("tnode", lingua_dev__fleet=_FLEET)
    ready = [
        node
        for node in nodes
        for line in node.get("status", {}).get("conditions", [])
        if line["type"] == "Ready" and line["status"] == "True"
    ]
    return len(nodes) == len(ready) == count


async def _pods(kube: Kube, count: int) -> bool:
    pods = await kube.list("pods", lingua_dev__fleet=_FLEET)
    return len(pods) == count and all(is_ready(pod) for pod in pods)
