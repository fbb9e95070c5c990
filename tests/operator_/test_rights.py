"""The operator works with exactly the rights of its table: nothing is forbidden, and none is there for nothing."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from kit import operators
from kit.eventually import eventually
from kit.kube.accounts import service_account, token
from kit.kube.fault_proxy import fault_proxy
from kit.operators import SOON_S, Nodes, connect
from lingua_operator import rights
from lingua_operator.pods import pod_name
from lingua_operator.resource import parse_node
from lingua_state import declarations

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from kit.kube.api import Body
    from kit.kube.bed import Bed
    from kit.kube.fault_proxy import Call
    from lingua_state.client import Store

PARTS = ("core", "pods", "fleets", "mirror", "standby")
#: Single objects are read after a refusal or a doubt.
RARE = {("lingua.dev", "translationnodes", "get"), ("lingua.dev", "translationfleets", "get"), ("", "pods", "get")}
POD = {"spec": {"containers": [{"name": "node", "image": "lingua-node:test"}]}}


def calls(bed: Bed, namespace: str) -> list[Body]:
    """List what the operator's account asked for."""
    user = f"system:serviceaccount:{namespace}:operator"
    return [event for event in bed.audit() if event["user"]["username"] == user and "objectRef" in event]


def used(events: Iterable[Body]) -> set[tuple[str, str, str]]:
    """Tell which rights calls need."""
    found = set()
    for event in events:
        what = event["objectRef"]
        resource = what["resource"] + (f"/{what['subresource']}" if what.get("subresource") else "")
        found.add((what.get("apiGroup", ""), resource, event["verb"]))
    return found


@pytest.fixture
def values(bed: Bed, namespace: str, values: dict[str, str]) -> dict[str, str]:
    kubeconfig = service_account(bed, namespace, "operator", rules=rights.rules(PARTS))
    return values | {
        "KUBECONFIG": str(kubeconfig),
        "LINGUA_OPERATOR_ADMISSION": "mirror",
        "LINGUA_OPERATOR_MIRROR_GONE_MS": "1000",
        "LINGUA_OPERATOR_STANDBY_ENABLED": "true",
        "LINGUA_OPERATOR_STANDBY_LEASE_MS": "6000",
        "LINGUA_OPERATOR_STANDBY_RENEW_MS": "4000",
        "LINGUA_OPERATOR_STANDBY_RETRY_MS": "1000",
    }


async def test_every_right_is_used_and_none_is_missing(
    bed: Bed, nodes: Nodes, store: Store, values: dict[str, str], tmp_path: Path
) -> None:
    with operators.process(values, tmp_path / "log") as process:
        nodes.create("one", auth={"tokenSecretRef": {"name": "tokens", "key": "one"}})
        await nodes.until("one", "Accepted", "SecretMissing")
        nodes.create("podded", workload={"podTemplate": POD}, drainDeadlineSeconds=0)
        await nodes.until("podded", "Registered", "Declared")
        pods = f"/api/v1/namespaces/{nodes.namespace}/pods"
        await eventually(lambda: bed.api.get(pods).expect()["items"], within_s=SOON_S, what="pod made")
        nodes.patch("podded", {"spec": {"workload": None}})
        await eventually(lambda: not bed.api.get(pods).expect()["items"], within_s=SOON_S, what="pod removed")
        fleets = f"/apis/lingua.dev/v1alpha1/namespaces/{nodes.namespace}/translationfleets"
        template = {"spec": {"languages": {"asr": ["fr"], "tts": ["it"]}, "drainDeadlineSeconds": 0}}
        fleet = {"metadata": {"name": "fleet"}, "spec": {"replicas": 1, "template": template}}
        bed.api.create(fleets, {"apiVersion": "lingua.dev/v1alpha1", "kind": "TranslationFleet", **fleet}).expect()
        where = f"/apis/lingua.dev/v1alpha1/namespaces/{nodes.namespace}/translationnodes"
        of_fleet = {"labelSelector": "lingua.dev/fleet=fleet"}
        await eventually(lambda: bed.api.get(where, **of_fleet).expect()["items"], within_s=SOON_S, what="fleet's node")
        bed.api.patch(f"{fleets}/fleet", {"spec": {"replicas": 0}}).expect()
        await eventually(
            lambda: not bed.api.get(where, **of_fleet).expect()["items"], within_s=SOON_S, what="scaled down"
        )
        await connect(store, "by-itself")
        await eventually(lambda: mirrored(bed, nodes), within_s=SOON_S, what="mirrored")
        await leave(store, "by-itself")
        await eventually(lambda: not mirrored(bed, nodes), within_s=SOON_S, what="mirrored resource removed")
        nodes.delete("one")
        await nodes.gone("one")
        assert process.end(signal.SIGTERM) == 0, process.said()
    made = calls(bed, nodes.namespace)
    refused = [(each["verb"], each["requestURI"]) for each in made if each["responseStatus"]["code"] == 403]
    assert refused == []
    wanted = rights.verbs_of(PARTS)
    assert used(made) <= wanted
    assert wanted - used(made) <= RARE


async def test_the_rights_that_only_a_refusal_or_a_doubt_needs_are_used_then(
    bed: Bed, nodes: Nodes, store: Store, values: dict[str, str], tmp_path: Path
) -> None:
    # A pod of somebody else has the name; a fleet changed meanwhile; a node of it is there already.
    podded = parse_node(nodes.create("podded", workload={"podTemplate": POD}))
    foreign = {"metadata": {"name": pod_name(podded, 0)}, **POD}
    bed.api.create(f"/api/v1/namespaces/{nodes.namespace}/pods", foreign).expect()
    fleets = f"/apis/lingua.dev/v1alpha1/namespaces/{nodes.namespace}/translationfleets"
    spec = {"replicas": 1, "template": {"spec": {"languages": {"asr": ["fr"], "tts": ["it"]}}}}
    doubted = {"apiVersion": "lingua.dev/v1alpha1", "kind": "TranslationFleet", "metadata": {"name": "doubted"}}
    bed.api.create(fleets, {**doubted, "spec": spec}).expect()
    conflicts = {("PATCH", f"{fleets}/doubted"), ("POST", fleets.replace("fleets", "nodes"))}

    def refuse_once(call: Call) -> int | None:
        if (call.method, call.path) not in conflicts:
            return None
        conflicts.remove((call.method, call.path))
        return 409

    with fault_proxy(bed, tmp_path) as proxy:
        proxy.faults.answer = refuse_once
        kubeconfig = proxy.kubeconfig(token(bed, nodes.namespace, "operator"), nodes.namespace, tmp_path)
        alone = {"KUBECONFIG": str(kubeconfig), "LINGUA_OPERATOR_STANDBY_ENABLED": "false"}
        async with operators.running(values | alone):
            await nodes.until("podded", "Connected", "PodNameTaken")
            await eventually(lambda: replicas(bed, f"{fleets}/doubted") == 1, within_s=SOON_S, what="fleet told")
    assert not conflicts
    made = calls(bed, nodes.namespace)
    assert [each["requestURI"] for each in made if each["responseStatus"]["code"] == 403] == []
    assert used(made) >= RARE


def replicas(bed: Bed, where: str) -> int:
    return int(bed.api.get(where).expect().get("status", {}).get("replicas", 0))


def mirrored(bed: Bed, nodes: Nodes) -> list[Body]:
    where = f"/apis/lingua.dev/v1alpha1/namespaces/{nodes.namespace}/translationnodes"
    return list(bed.api.get(where, labelSelector="lingua.dev/mirrored=true").expect()["items"])


async def leave(store: Store, node_id: str) -> None:
    """Let a node go, as a scheduler does when its socket closes."""
    from lingua_state import nodes as live_nodes

    assert await declarations.get(store, node_id) is None
    await live_nodes.offline(store, node_id, "i1")
