"""The pods of nodes on a real API server that enforces the restricted standard. There is no kubelet: the tests say for
it how a pod is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kit import operators
from kit.eventually import eventually
from kit.kube.api import Body, path
from kit.operators import SOON_S, Nodes
from lingua_state import nodes as live_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.kube.bed import Bed
    from lingua_state.client import Store

CONTAINER = {"name": "node", "image": "example.org/node:1"}


@pytest.fixture
def namespace(bed: Bed) -> Iterator[str]:
    """A namespace in which the API server refuses what is not restricted."""
    name = bed.namespace(labels={"pod-security.kubernetes.io/enforce": "restricted"})
    yield name
    bed.api.delete(path("namespaces", name=name, group="v1"))


@pytest.fixture
def values(values: dict[str, str]) -> dict[str, str]:
    return {**values, "LINGUA_OPERATOR_SCHEDULER_URL": "ws://scheduler:5010/ws/node"}


pytestmark = pytest.mark.usefixtures("operator")


def template(**container: Any) -> Body:
    return {"podTemplate": {"spec": {"containers": [{**CONTAINER, **container}]}}}


class Pods:
    """The pods of a namespace, and what a kubelet would say of them."""

    def __init__(self, nodes: Nodes) -> None:
        self.api, self.namespace = nodes.api, nodes.namespace

    def where(self, name: str = "") -> str:
        return path("pods", self.namespace, name, group="v1")

    def all(self) -> list[Body]:
        found: list[Body] = self.api.get(self.where()).expect()["items"]
        return found

    def say(self, name: str, **status: Any) -> None:
        self.api.patch(f"{self.where(name)}/status", {"status": status}).expect()

    async def one(self, beside: frozenset[str] | set[str] = frozenset()) -> Body:
        """Wait until there is exactly one, not among those known."""

        def only() -> Body | None:
            found = self.all()
            assert len(found) == 1, [each["metadata"]["name"] for each in found]
            assert found[0]["metadata"]["uid"] not in beside
            return found[0]

        found: Body = await eventually(only, within_s=SOON_S, what="one pod")
        return found


@pytest.fixture
def pods(nodes: Nodes) -> Pods:
    return Pods(nodes)


async def test_a_node_with_a_workload_gets_a_pod_that_the_restricted_standard_takes(nodes: Nodes, pods: Pods) -> None:
    nodes.create("one", workload=template(), auth={"serviceAccountName": "default"})
    pod = await pods.one()
    env = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    assert env["LINGUA_NODE_NODE_ID"] == f"{nodes.namespace}.one"
    assert env["LINGUA_NODE_URL"] == "ws://scheduler:5010/ws/node"
    (owner,) = pod["metadata"]["ownerReferences"]
    assert owner["uid"] == nodes.get("one")["metadata"]["uid"]
    projected = next(each for each in pod["spec"]["volumes"] if each["name"] == "lingua-node-token")["projected"]
    assert projected["sources"][0]["serviceAccountToken"]["audience"] == "lingua-node"
    assert pod["spec"]["automountServiceAccountToken"] is False
    message = f"pod {pod['metadata']['name']} is starting"
    await eventually(lambda: nodes.condition("one", "Connected").get("message") == message, within_s=SOON_S)


async def test_the_trouble_of_its_pod_is_told_by_the_node(nodes: Nodes, pods: Pods) -> None:
    nodes.create("one", workload=template())
    name = (await pods.one())["metadata"]["name"]
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown"}}
    status = {"name": "node", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
    pods.say(name, phase="Pending", containerStatuses=[status])
    told = await nodes.until("one", "Ready", "ImagePullFailed")
    assert "manifest unknown" in told["message"]
    await eventually(lambda: "ImagePullFailed" in nodes.events("one"), within_s=SOON_S)
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    pods.say(name, containerStatuses=None, conditions=[unschedulable])
    assert "0/3 nodes" in (await nodes.until("one", "Ready", "Unschedulable"))["message"]


async def test_a_changed_template_drains_the_node_before_its_pod_is_replaced(
    nodes: Nodes, pods: Pods, store: Store
) -> None:
    nodes.create("one", workload=template())
    first = await pods.one()
    pods.say(first["metadata"]["name"], phase="Running")
    node_id = f"{nodes.namespace}.one"
    await nodes.until("one", "Registered", "Declared")
    await operators.connect(store, node_id)
    await nodes.until("one", "Ready", "Ready")
    job = await operators.give_work(store, node_id)
    nodes.patch("one", {"spec": {"workload": template(image="example.org/node:2")}})
    await nodes.until("one", "Ready", "PodOutdated")
    await nodes.until("one", "Drained", "Draining")
    assert [each["metadata"]["uid"] for each in pods.all()] == [first["metadata"]["uid"]]
    record = await live_nodes.get(store, node_id)
    assert record is not None
    assert record.status == "draining"
    await operators.finish(store, job)
    second = await pods.one({first["metadata"]["uid"]})
    assert second["spec"]["containers"][0]["image"] == "example.org/node:2"
    pods.say(second["metadata"]["name"], phase="Running")
    await nodes.until("one", "Ready", "Ready")
    assert "drainStartTime" not in nodes.get("one")["status"]


async def test_a_pod_that_was_evicted_is_made_again(nodes: Nodes, pods: Pods) -> None:
    nodes.create("one", workload=template())
    first = (await pods.one())["metadata"]
    pods.say(first["name"], phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    told = await nodes.until("one", "Connected", "Evicted")
    assert "low on resource" in told["message"]
    await pods.one({first["uid"]})


async def test_a_pod_that_was_deleted_is_made_again(nodes: Nodes, pods: Pods) -> None:
    nodes.create("one", workload=template())
    first = (await pods.one())["metadata"]
    pods.api.delete(pods.where(first["name"]), gracePeriodSeconds="0").expect()
    await pods.one({first["uid"]})


async def test_a_deleted_node_takes_its_pod_with_it(nodes: Nodes, pods: Pods) -> None:
    nodes.create("one", workload=template())
    await pods.one()
    nodes.delete("one")
    await nodes.gone("one")
    await eventually(lambda: not pods.all(), within_s=SOON_S, what="the pod is collected")


async def test_a_node_that_no_longer_wishes_a_pod_loses_it(nodes: Nodes, pods: Pods) -> None:
    nodes.create("one", workload=template())
    await pods.one()
    nodes.patch("one", {"spec": {"workload": None}})
    await eventually(lambda: not pods.all(), within_s=SOON_S, what="the pod is gone")


async def test_a_refused_template_makes_no_pod_and_tells_field_and_rule(nodes: Nodes, pods: Pods) -> None:
    nodes.create("one", workload=template(ports=[{"containerPort": 80, "hostPort": 80}]))
    told = await nodes.until("one", "Accepted", "PodTemplateRefused")
    assert told["message"].startswith("workload.podTemplate.spec.containers[0].ports[0].hostPort")
    assert "Pod Security Standards, baseline: Host Ports" in told["message"]
    assert pods.all() == []
    nodes.patch("one", {"spec": {"workload": template()}})
    await nodes.until("one", "Accepted", "Accepted")
    await pods.one()


async def test_a_pod_that_the_api_server_refuses_is_told(nodes: Nodes, pods: Pods) -> None:
    nodes.create("one", workload=template(resources={"limits": {"cpu": "lots"}}))
    told = await nodes.until("one", "Connected", "PodRefused")
    assert "lots" in told["message"] or "quantities" in told["message"], told
    assert pods.all() == []


async def test_somebody_elses_pod_of_the_same_name_is_left_alone(
    nodes: Nodes, pods: Pods, operator: operators.Thread, values: dict[str, str]
) -> None:
    nodes.create("one", workload=template())
    ours = await pods.one()
    body = {"metadata": {"name": ours["metadata"]["name"]}, "spec": ours["spec"]}
    # The operator does not watch pods of others, so that it learns of this one only by its own attempt.
    operator.stop()
    await eventually(lambda: operator.ended, within_s=SOON_S)
    pods.api.delete(pods.where(ours["metadata"]["name"]), gracePeriodSeconds="0").expect()
    theirs = pods.api.create(pods.where(), body).expect()
    async with operators.running(values):
        told = await nodes.until("one", "Connected", "PodNameTaken")
        assert theirs["metadata"]["name"] in told["message"]
    assert [each["metadata"]["uid"] for each in pods.all()] == [theirs["metadata"]["uid"]]
