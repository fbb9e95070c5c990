"""From nothing to speech, as docs/install.md tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.kind_kube import is_ready, note

if TYPE_CHECKING:
    from kit.kind_release import Installed

_GOAL_S = 90.0


async def test_the_first_utterance_is_translated_within_90_seconds_of_helm_install(lingua: Installed) -> None:
    result = lingua.first_result
    told = f"helm install {lingua.helm_s:.0f} s, first translated utterance {lingua.first_utterance_s:.0f} s"
    note(told, f"{result.text} = {result.translation}, {result.speech_ms / 1000:.1f} s of speech by {result.node_id}")
    assert lingua.first_utterance_s <= _GOAL_S, told
    assert result.speech_ms > 500


async def test_every_pod_of_the_release_is_ready_and_was_never_restarted(lingua: Installed) -> None:
    pods = await lingua.kube.list("pods", app_kubernetes_io__instance="lingua")
    running = [pod for pod in pods if pod["status"]["phase"] != "Succeeded"]
    assert len(running) >= 4, [pod["metadata"]["name"] for pod in pods]
    assert all(is_ready(pod) for pod in running), await lingua.kube.overview()
    restarts = [status["restartCount"] for pod in running for status in pod["status"]["containerStatuses"]]
    assert set(restarts) == {0}, await lingua.kube.overview()


async def test_helm_test_passes(lingua: Installed) -> None:
    printed = await lingua.release.test()
    note("helm test", printed)
    assert "Succeeded" in printed


async def test_kubectl_tells_at_a_glance_that_fleet_and_node_work(lingua: Installed) -> None:
    await lingua.kube.until_true("tfleet", "lingua-node", "Ready")
    nodes = await lingua.kube.list("tnode", lingua_dev__fleet="lingua-node")
    assert len(nodes) == 1
    await lingua.kube.until_true("tnode", nodes[0]["metadata"]["name"], "Ready")
    table = await lingua.kube.show("after the installation", "get", "tnode,tfleet", "-o", "wide")
    await lingua.kube.show("a fleet", "describe", "tfleet", "lingua-node")
    await lingua.kube.show("a node", "describe", "tnode", nodes[0]["metadata"]["name"])
    assert "READY" in table
    assert "False" not in table
