"""How the resources feel in the hands of people and autoscalers: columns, selectors, scale, status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.kube.api import path
from kit.kube.bed import CRDS
from kit.kube.manifests import FLEET, NODE, collection, fleet, merged, node

if TYPE_CHECKING:
    from kit.kube.api import Body
    from kit.kube.bed import Bed

WHEN = "2026-11-21T10:00:00Z"


def condition(kind: str, status: str, reason: str, message: str = "") -> Body:
    """Write a condition."""
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": WHEN}


def made(bed: Bed, namespace: str, resource: Body, status: Body | None = None) -> str:
    """Create a resource, with a status, and return its path."""
    where = collection(resource["kind"], namespace)
    bed.api.create(where, resource).expect()
    where = f"{where}/{resource['metadata']['name']}"
    if status is not None:
        bed.api.patch(f"{where}/status", {"status": status}).expect()
    return where


def table(printed: str) -> list[list[str]]:
    """Read what kubectl printed: the columns are two or more spaces apart."""
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in printed.splitlines()]


def test_one_look_tells_which_node_is_wrong_and_why(bed: Bed, namespace: str) -> None:
    message = "The secret token is missing: create it in this namespace."
    wrong = [condition("Accepted", "True", "Valid"), condition("Ready", "False", "SecretMissing", message)]
    made(bed, namespace, node("a"), {"conditions": wrong, "pairs": 1, "nodeId": f"{namespace}.a"})
    made(bed, namespace, node("b"), {"conditions": [condition("Ready", "True", "Serving")], "pairs": 0})
    plain = table(bed.kubectl("get", "tnode", "-n", namespace))
    assert plain[0] == ["NAME", "READY", "REASON", "SCHEDULING", "PAIRS", "MAXJOBS", "AGE"]
    assert plain[1][:-1] == ["a", "False", "SecretMissing", "Active", "1", "4"]
    assert plain[2][:-1] == ["b", "True", "Serving", "Active", "0", "4"]
    wide = table(bed.kubectl("get", "tnode", "a", "-n", namespace, "-o", "wide"))
    assert wide[0] == ["NAME", "READY", "REASON", "SCHEDULING", "PAIRS", "MAXJOBS", "NODE-ID", "MESSAGE", "AGE"]
    assert wide[1][6:8] == [f"{namespace}.a", message]


def test_one_look_tells_how_far_a_fleet_is(bed: Bed, namespace: str) -> None:
    status = {"replicas": 5, "readyReplicas": 3, "updatedReplicas": 2}
    reason = [condition("Ready", "False", "Replacing", "2 of 4 nodes have the new template.")]
    made(bed, namespace, fleet(replicas=4), {**status, "conditions": reason})
    plain = table(bed.kubectl("get", "tfleet", "-n", namespace))
    assert plain[0] == ["NAME", "DESIRED", "CURRENT", "READY", "UPDATED", "REASON", "AGE"]
    assert plain[1][:-1] == ["a", "4", "5", "3", "2", "Replacing"]
    wide = table(bed.kubectl("get", "tfleet", "-n", namespace, "-o", "wide"))
    assert "2 of 4 nodes have the new template." in wide[1]


def test_both_kinds_are_found_by_their_category(bed: Bed, namespace: str) -> None:
    made(bed, namespace, node("a"))
    made(bed, namespace, fleet("b"))
    names = bed.kubectl("get", "lingua", "-n", namespace, "-o", "name").split()
    assert sorted(names) == ["translationfleet.lingua.dev/b", "translationnode.lingua.dev/a"]


def test_nodes_are_selected_by_what_is_wished_of_them(bed: Bed, namespace: str) -> None:
    for name, wish in (("a", "Active"), ("b", "Cordoned"), ("c", "Draining")):
        made(bed, namespace, merged(node(name), {"spec": {"scheduling": wish}}))
    chosen = bed.kubectl("get", "tnode", "-n", namespace, "--field-selector", "spec.scheduling!=Active", "-o", "name")
    assert chosen.split() == ["translationnode.lingua.dev/b", "translationnode.lingua.dev/c"]
    other = bed.api.get(collection(NODE, namespace), fieldSelector="spec.weight=100")
    assert other.status == 400, "only what is served by an index may be asked for"


@pytest.mark.parametrize("how", [["--server-side", "--force-conflicts"], []], ids=["server side", "client side"])
def test_the_definitions_are_applied_without_a_warning(bed: Bed, how: list[str]) -> None:
    said = bed.kubectl("apply", "--warnings-as-errors", "--dry-run=server", "--validate=strict", *how, "-f", str(CRDS))
    assert said.count("customresourcedefinition.apiextensions.k8s.io/translation") == 2


def test_every_field_is_explained(bed: Bed) -> None:
    assert "Active takes work" in bed.kubectl("explain", "tnode.spec.scheduling")
    assert "LeastBusyFirst" in bed.kubectl("explain", "tfleet.spec.scaleDown")
    assert "maxJobs" in bed.kubectl("explain", "tfleet.spec.template.spec.capacity")


def test_a_fleet_is_scaled_by_kubectl(bed: Bed, namespace: str) -> None:
    where = made(bed, namespace, fleet(), {"replicas": 1, "selector": "lingua.dev/fleet=a"})
    bed.kubectl("scale", "tfleet", "a", "-n", namespace, "--replicas", "7")
    assert bed.api.get(where).expect()["spec"]["replicas"] == 7
    with pytest.raises(AssertionError, match=r"spec\.replicas"):
        bed.kubectl("scale", "tfleet", "a", "-n", namespace, "--replicas", "10001")
    assert bed.api.get(where).expect()["spec"]["replicas"] == 7


def test_an_autoscaler_sees_all_three_parts_of_the_scale(bed: Bed, namespace: str) -> None:
    where = made(bed, namespace, fleet(replicas=3), {"replicas": 2, "selector": "lingua.dev/fleet=a"})
    scale = bed.api.get(f"{where}/scale").expect()
    assert scale["kind"] == "Scale"
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "lingua.dev/fleet=a"}


def test_an_autoscaler_of_the_cluster_accepts_a_fleet(bed: Bed, namespace: str) -> None:
    made(bed, namespace, fleet(replicas=3), {"replicas": 3, "selector": "lingua.dev/fleet=a"})
    autoscalers = path("horizontalpodautoscalers", namespace, group="autoscaling/v2")
    target = {"apiVersion": "lingua.dev/v1alpha1", "kind": FLEET, "name": "a"}
    metric = {
        "type": "External",
        "external": {"metric": {"name": "wanted"}, "target": {"type": "AverageValue", "averageValue": "1"}},
    }
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 9, "metrics": [metric]}
    bed.api.create(autoscalers, {"metadata": {"name": "a"}, "spec": spec}).expect()
    # There is no metric here; that the target can be read and scaled is the autoscaler's first condition.
    seen = bed.api.until(f"{autoscalers}/a", lambda found: found.get("status", {}).get("conditions"), within_s=90)
    (able,) = [found for found in seen["status"]["conditions"] if found["type"] == "AbleToScale"]
    assert (able["status"], able["reason"]) == ("True", "SucceededGetScale")


@pytest.mark.parametrize("resource", [node(), fleet()], ids=[NODE, FLEET])
def test_status_and_spec_are_written_apart(bed: Bed, namespace: str, resource: Body) -> None:
    where = made(bed, namespace, merged(resource, {"status": {"observedGeneration": 9}}))
    first = bed.api.get(where).expect()
    assert "status" not in first
    bed.api.patch(where, {"status": {"observedGeneration": 9}}).expect()
    assert "status" not in bed.api.get(where).expect()
    bed.api.patch(f"{where}/status", {"status": {"observedGeneration": 1}, "spec": None}).expect()
    last = bed.api.get(where).expect()
    assert last["status"] == {"observedGeneration": 1}
    assert last["spec"] == first["spec"]
    assert last["metadata"]["generation"] == first["metadata"]["generation"] == 1


def test_a_status_keeps_what_the_operator_writes_and_nothing_else(bed: Bed, namespace: str) -> None:
    status = {
        "observedGeneration": 3,
        "nodeId": f"{namespace}.a",
        "membershipRevision": 3,
        "pairs": 2,
        "pairsSample": ["en:es", "en:ca"],
        "drainStartTime": WHEN,
        "conditions": [condition("Ready", "True", "Serving")],
    }
    where = made(bed, namespace, node(), {**status, "kopf": {"progress": {}}, "jobs": 5})
    assert bed.api.get(where).expect()["status"] == status


def test_a_condition_has_one_place_whoever_writes_it(bed: Bed, namespace: str) -> None:
    where = made(bed, namespace, node(), {"conditions": [condition("Ready", "True", "Serving")]})
    twice = {"conditions": [condition("Ready", "True", "A"), condition("Ready", "False", "B")]}
    refused = bed.api.patch(f"{where}/status", {"status": twice})
    assert refused.status == 422
    assert "Duplicate value" in refused.message
    other = {"conditions": [condition("Audited", "True", "ByHand")]}
    body = {"apiVersion": "lingua.dev/v1alpha1", "kind": NODE, "status": other}
    bed.api.apply(f"{where}/status", body, fieldManager="auditor").expect()
    kinds = [found["type"] for found in bed.api.get(where).expect()["status"]["conditions"]]
    assert kinds == ["Ready", "Audited"]


@pytest.mark.parametrize(
    "wrong",
    [
        condition("not camel", "True", "A"),
        condition("Ready", "true", "A"),
        condition("Ready", "True", "two words"),
        condition("Ready", "True", ""),
    ],
    ids=["type", "status", "reason", "no reason"],
)
def test_a_condition_out_of_shape_is_refused(bed: Bed, namespace: str, wrong: Body) -> None:
    where = made(bed, namespace, node())
    assert bed.api.patch(f"{where}/status", {"status": {"conditions": [wrong]}}).status == 422
