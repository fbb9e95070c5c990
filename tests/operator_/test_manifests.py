"""The chart's Job brings the reference fleet into the cluster, with just the rights that the chart gives it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kit import chart
from kit.kube.accounts import service_account
from kit.kube.api import path
from lingua_operator.cluster import Cluster, ClusterError, Forbidden, connect
from lingua_operator.manifests import BadManifest, apply, read, remove
from lingua_operator.settings import KubernetesSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.kube.bed import Bed

PROFILE = chart.MATRIX["to try out, with the node"]


def written(namespace: str, **values: Any) -> str:
    """What the Job finds in its file."""
    values = {**PROFILE, "node": {"enabled": True, **values}}
    return str(chart.one(chart.render(values, namespace), "ConfigMap", "-node")["data"]["fleet.json"])


def where(namespace: str) -> str:
    return path("translationfleets", namespace, "talk-lingua-node")


@pytest.fixture
def account(bed: Bed, namespace: str) -> Path:
    """The Job's ServiceAccount, with the Role that the chart renders."""
    role = chart.one(chart.render(PROFILE, namespace), "Role", "-fleet")
    return service_account(bed, namespace, "fleet", rules=role["rules"])


@pytest.fixture
async def cluster(account: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setenv("KUBECONFIG", str(account))
    opened = await connect(KubernetesSettings())
    yield opened
    await opened.close()


async def test_a_fleet_is_made_and_brought_to_new_values(bed: Bed, namespace: str, cluster: Cluster) -> None:
    await apply(cluster, read(written(namespace)), within_s=30)
    assert bed.api.get(where(namespace)).expect()["spec"]["replicas"] == 1
    await apply(cluster, read(written(namespace, replicas=3, maxJobs=5)), within_s=30)
    spec = bed.api.get(where(namespace)).expect()["spec"]
    assert spec["replicas"] == 3
    assert spec["template"]["spec"]["capacity"] == {"maxJobs": 5}


async def test_replicas_that_an_autoscaler_wrote_are_left_alone(bed: Bed, namespace: str, cluster: Cluster) -> None:
    await apply(cluster, read(written(namespace, replicas=None)), within_s=30)
    scaled = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 4}}
    bed.api.patch(f"{where(namespace)}/scale", scaled).expect()
    await apply(cluster, read(written(namespace, replicas=None, maxJobs=3)), within_s=30)
    assert bed.api.get(where(namespace)).expect()["spec"]["replicas"] == 4


async def test_a_fleet_that_is_given_to_an_autoscaler_keeps_its_replicas(
    bed: Bed, namespace: str, cluster: Cluster
) -> None:
    await apply(cluster, read(written(namespace, replicas=3)), within_s=30)
    for _ in range(2):
        await apply(cluster, read(written(namespace, replicas=None)), within_s=30)
        assert bed.api.get(where(namespace)).expect()["spec"]["replicas"] == 3


async def test_a_removal_waits_until_the_operator_let_go(bed: Bed, namespace: str, cluster: Cluster) -> None:
    found = read(written(namespace))
    await apply(cluster, found, within_s=30)
    held = {"metadata": {"finalizers": ["operator.lingua.dev/drain"]}}
    bed.api.patch(where(namespace), held).expect()
    with pytest.raises(ClusterError, match="not done within"):
        await remove(cluster, found, within_s=0)
    removing = asyncio.create_task(remove(cluster, found, within_s=60))
    bed.api.patch(where(namespace), {"metadata": {"finalizers": []}}).expect()
    await removing
    assert bed.api.get(where(namespace)).status == 404
    await remove(cluster, found, within_s=0)  # gone already is fine: an uninstall may be repeated


async def test_a_definition_that_is_not_served_yet_is_waited_for(namespace: str, cluster: Cluster) -> None:
    (fleet,) = read(written(namespace))
    kind, body = fleet
    absent = type(kind)(kind.group, "v9", kind.kind, kind.plural)
    with pytest.raises(ClusterError, match="not done within"):
        await apply(cluster, [(absent, body)], within_s=1)


async def test_the_job_can_touch_no_other_fleet(namespace: str, cluster: Cluster) -> None:
    (fleet,) = read(written(namespace))
    kind, body = fleet
    other = {**body, "metadata": {"name": "others", "namespace": namespace}}
    with pytest.raises(Forbidden):
        await apply(cluster, [(kind, other)], within_s=5)
    with pytest.raises(Forbidden):
        await cluster.list(kind, [namespace])


def test_the_program_says_in_a_sentence_why_it_did_not_work(tmp_path: Path) -> None:
    file = tmp_path / "fleet.json"
    file.write_text('{"kind": "Secret"}')
    command = [sys.executable, "-m", "lingua_operator.manifests", "apply", str(file)]
    environment = {"KUBECONFIG": str(tmp_path / "none"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr == "only TranslationFleet and TranslationNode can be applied\n"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[", "no JSON"),
        ("{}", "only TranslationFleet and TranslationNode"),
        ('{"kind": "Secret"}', "only TranslationFleet and TranslationNode"),
        ('[{"kind": "TranslationNode", "apiVersion": "v1", "metadata": {}}]', "lingua.dev/v1alpha1"),
        ('{"kind": "TranslationNode", "apiVersion": "lingua.dev/v1alpha1", "metadata": {"name": "a"}}', "a namespace"),
        ("3", "only TranslationFleet and TranslationNode"),
    ],
)
def test_anything_but_our_resources_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(BadManifest, match=wrong):
        read(text)


def test_what_the_chart_writes_is_read() -> None:
    namespace = "speech"
    ((kind, body),) = read(written(namespace))
    assert (kind.kind, body["metadata"]["namespace"]) == ("TranslationFleet", namespace)
    assert json.loads(written(namespace)) == body
