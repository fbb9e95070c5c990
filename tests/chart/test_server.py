"""A real API server takes what the chart renders, field by field, and helm installs, upgrades and removes it there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kit import chart
from kit.kube.api import path
from kit.kube.bed import DEFINITIONS, kubernetes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.kube.bed import Bed

Body = dict[str, Any]
PLURALS = {
    "ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings", "ConfigMap": "configmaps",
    "CustomResourceDefinition": "customresourcedefinitions", "Deployment": "deployments", "Ingress": "ingresses",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers", "Job": "jobs", "NetworkPolicy": "networkpolicies",
    "Pod": "pods", "PodDisruptionBudget": "poddisruptionbudgets", "Role": "roles", "RoleBinding": "rolebindings",
    "Secret": "secrets", "Service": "services", "ServiceAccount": "serviceaccounts", "StatefulSet": "statefulsets",
    "TranslationFleet": "translationfleets",
}  # fmt: skip
#: Kinds of others, whose definitions are not on a bare API server. Their fields are checked in test_rendering.py.
FOREIGN = {"HTTPRoute", "PrometheusRule", "ScaledObject", "ServiceMonitor"}
#: What a release of every part leaves behind when it is gone.
KINDS = [kind for kind in PLURALS if kind not in ("CustomResourceDefinition", "Job", "Pod", "TranslationFleet")]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """An API server that has never heard of Lingua, as the one of a user who installs the chart."""
    with kubernetes(tmp_path_factory.mktemp("bare"), crds=False) as running:
        yield running


@pytest.fixture(scope="module")
def priorities(bed: Bed) -> None:
    """The priority classes that the matrix names; a pod of an unknown one is refused."""
    for name in ("high", "low"):
        body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1}
        bed.api.apply(path("priorityclasses", name=name, group="scheduling.k8s.io/v1"), body).expect()


def place(body: Body, namespace: str) -> str:
    within = namespace if "namespace" in body["metadata"] else None
    return path(PLURALS[body["kind"]], within, group=body["apiVersion"])


@pytest.mark.usefixtures("priorities")
@pytest.mark.parametrize("profile", chart.profiles())
def test_the_api_server_takes_every_object_and_knows_every_field(profile: str, bed: Bed, namespace: str) -> None:
    values = chart.profiles()[profile]
    bodies = chart.render(values, namespace)
    foreign = {body["kind"] for body in bodies if body["kind"] not in PLURALS}
    assert foreign <= FOREIGN
    for body in [*bodies, *chart.fleets(bodies)]:
        if body["kind"] in foreign or body["metadata"].get("namespace", namespace) != namespace:
            continue
        body["metadata"]["name"] = (
            f"tried-{body['metadata']['name']}" if body["kind"] in KINDS else body["metadata"]["name"]
        )
        where = place(body, namespace)
        if body["kind"] == "CustomResourceDefinition":  # it is there already
            name = body["metadata"]["name"]
            answer = bed.api.apply(
                f"{where}/{name}", body, dryRun="All", fieldValidation="Strict", fieldManager="other"
            )
        else:
            answer = bed.api.create(where, body, dryRun="All", fieldValidation="Strict")
        assert answer.ok, f"{body['kind']}/{body['metadata']['name']}: {answer.message}"


def test_a_field_that_nobody_knows_would_be_found(bed: Bed, namespace: str) -> None:
    body = chart.one(chart.render(chart.HOSTS, namespace), "Deployment", "-scheduler")
    body["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    answer = bed.api.create(place(body, namespace), body, dryRun="All", fieldValidation="Strict")
    assert "readOnlyRootFilesystem" in answer.message


def names(bed: Bed, kind: str, group: str, namespace: str | None) -> set[str]:
    found = bed.api.get(path(PLURALS[kind], namespace, group=group), labelSelector="app.kubernetes.io/managed-by=Helm")
    return {body["metadata"]["name"] for body in found.expect()["items"]}


def everything(bed: Bed, namespace: str) -> dict[str, set[str]]:
    groups = {body["kind"]: body["apiVersion"] for values in chart.MATRIX.values() for body in chart.render(values)}
    wide = ("ClusterRole", "ClusterRoleBinding")
    return {kind: names(bed, kind, groups[kind], None if kind in wide else namespace) for kind in KINDS}


def test_helm_installs_upgrades_and_removes_it_and_the_definitions_stay(bare: Bed) -> None:
    namespace = bare.namespace("release")
    values = {**chart.MATRIX["all checks of nodes"]}
    chart.install(bare, namespace, values)
    installed = everything(bare, namespace)
    assert installed["Deployment"] == {"talk-lingua-scheduler", "talk-lingua-operator"}
    assert installed["NetworkPolicy"]
    password = secret(bare, namespace)

    chart.install(bare, namespace, {**values, "scheduler": {"replicas": 3}}, verb="upgrade")
    assert everything(bare, namespace) == installed
    assert secret(bare, namespace) == password, "the store's password is kept"
    where = path("deployments", namespace, "talk-lingua-scheduler", group="apps/v1")
    assert bare.api.get(where).expect()["spec"]["replicas"] == 3

    scaled = {**chart.MATRIX["all checks of nodes"], "scheduler": {"autoscaling": {"mode": "hpa"}}}
    chart.install(bare, namespace, scaled, verb="upgrade")
    assert everything(bare, namespace)["HorizontalPodAutoscaler"] == {"talk-lingua-scheduler"}
    # From here the number is the autoscaler's, which has not written it yet.
    assert bare.api.get(where).expect()["spec"]["replicas"] == 3
    for replicas in (3, 5):
        bare.api.patch(f"{where}/scale", {"spec": {"replicas": replicas}}).expect()
        for _ in range(2):
            chart.install(bare, namespace, scaled, verb="upgrade")
            assert bare.api.get(where).expect()["spec"]["replicas"] == replicas

    done = chart.run("uninstall", chart.RELEASE, "--namespace", namespace, "--no-hooks", kubeconfig=bare.kubeconfig)
    assert done.returncode == 0, done.stderr
    assert all(not left for left in everything(bare, namespace).values())
    kept = {body["metadata"]["name"] for body in bare.api.get(DEFINITIONS).expect()["items"]}
    assert kept == {"translationnodes.lingua.dev", "translationfleets.lingua.dev"}


def test_a_second_release_says_whose_the_definitions_are(bare: Bed) -> None:
    first, second = bare.namespace("first"), bare.namespace("second")
    values = chart.MATRIX["an address in a secret"]
    held = bare.api.get(DEFINITIONS).expect()["items"]
    chart.install(bare, first, values | ({"crds": {"enabled": False}} if held else {}))
    command = ("install", chart.RELEASE, str(chart.CHART), "--namespace", second, "--values", "-", "--no-hooks")
    done = chart.run(*command, stdin=json.dumps(values), kubeconfig=bare.kubeconfig)
    assert done.returncode != 0
    assert "invalid ownership metadata" in done.stderr
    chart.install(bare, second, {**values, "crds": {"enabled": False}})
    for namespace in (first, second):
        chart.run("uninstall", chart.RELEASE, "--namespace", namespace, "--no-hooks", kubeconfig=bare.kubeconfig)


def secret(bed: Bed, namespace: str) -> str:
    where = path("secrets", namespace, "talk-lingua-valkey", group="v1")
    return str(bed.api.get(where).expect()["data"]["password"])
