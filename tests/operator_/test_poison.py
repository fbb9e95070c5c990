"""A resource that the operator can't digest harms itself and no other: the operator stays up and serves the rest."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from kit import operators
from kit.eventually import eventually
from kit.kube.api import path
from kit.operators import SOON_S, Nodes, tnode
from lingua_operator import nodes as nodes_module
from lingua_operator import statuses
from lingua_operator.resource import parse_node
from lingua_state import declarations

if TYPE_CHECKING:
    from pathlib import Path

    from kit.kube.bed import Bed
    from lingua_operator.context import Context
    from lingua_operator.nodes import Settled
    from lingua_operator.resource import Node
    from lingua_state.client import Store


def deep_resource(plural: str, levels: int) -> bytes:
    """Write a resource whose pod template is nested so deep; Python's own writer would give up."""
    kind = {"translationnodes": "TranslationNode", "translationfleets": "TranslationFleet"}[plural]
    hole = '{"a":' * levels + "1" + "}" * levels
    pod = f'{{"containers": [{{"name": "a", "image": "b"}}], "x": {hole}}}'
    spec = f'{{"languages": {{"asr": ["fr"], "tts": ["it"]}}, "workload": {{"podTemplate": {{"spec": {pod}}}}}}}'
    if kind == "TranslationFleet":
        spec = f'{{"replicas": 1, "template": {{"spec": {spec}}}}}'
    head = f'"apiVersion": "lingua.dev/v1alpha1", "kind": "{kind}", "metadata": {{"name": "deep"}}'
    return f'{{{head}, "spec": {spec}}}'.encode()


@pytest.mark.parametrize(
    ("plural", "levels"), [("translationnodes", 900), ("translationnodes", 9_900), ("translationfleets", 9_900)]
)
async def test_a_template_that_is_nested_too_deep_is_told_so_and_the_others_go_on(
    bed: Bed, nodes: Nodes, store: Store, values: dict[str, str], tmp_path: Path, plural: str, levels: int
) -> None:
    where = path(plural, nodes.namespace)
    with operators.process(values, tmp_path / "log") as process:
        assert created(bed, where, deep_resource(plural, levels))
        for name, start_again in (("one", False), ("two", True)):
            if start_again:
                assert process.end(signal.SIGTERM) == 0, process.said()
                process.start()
            nodes.create(name)
            await nodes.until(name, "Registered", "Declared")
        await declarations.withdraw(store, f"{nodes.namespace}.one", await owner_of(store, f"{nodes.namespace}.one"))
        await eventually(lambda: declarations.get(store, f"{nodes.namespace}.one"), within_s=SOON_S, what="repaired")
        await eventually(lambda: "levels deep" in shown(bed, plural, nodes.namespace), within_s=SOON_S, what="told")
        bed.kubectl("delete", plural, "deep", "-n", nodes.namespace, "--timeout=60s")
        assert not process.ended
    assert "Traceback" not in process.said()
    assert "RecursionError" not in process.said()


async def test_an_error_with_one_resource_holds_up_no_other(
    nodes: Nodes, store: Store, values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = nodes_module.settle

    async def poisoned(context: Context, node: Node) -> Settled:
        if node.name == "poison":
            raise ValueError("what nobody thought of")
        return await settle(context, node)

    monkeypatch.setattr(statuses, "settle", poisoned)
    monkeypatch.setattr(nodes_module, "settle", poisoned)
    async with operators.running(values):
        nodes.create("poison")
        nodes.create("good")
        await nodes.until("good", "Registered", "Declared")
        name = f"{nodes.namespace}.good"
        await declarations.withdraw(store, name, await owner_of(store, name))
        await eventually(lambda: declarations.get(store, name), within_s=SOON_S, what="repaired")


@pytest.mark.parametrize("end", [":jobs", ":waiting", ":classes"])
def test_an_id_that_the_store_can_not_keep_is_a_bad_spec(end: str) -> None:
    """The definition refuses it; an older one may have let it through."""
    node = parse_node({"metadata": {}, "spec": tnode("a", nodeId=f"b{end}")["spec"]})
    assert node.problem.startswith("spec.nodeId: a node id does not end with")


def created(bed: Bed, where: str, body: bytes) -> bool:
    try:
        return bed.api.request("POST", where, body).ok
    except RecursionError:  # the answer, which is as deep
        return True


async def owner_of(store: Store, node_id: str) -> str:
    found = await declarations.get(store, node_id)
    assert found is not None
    return found.uid


def shown(bed: Bed, plural: str, namespace: str) -> str:
    return bed.kubectl("get", plural, "deep", "-n", namespace, "-o", "wide")
