"""Nodes that registered by themselves are shown as resources that say nothing to the store (admission ``mirror``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.operators import SOON_S, Nodes, connect
from lingua_operator.mirror import name_of
from lingua_state import declarations
from lingua_state import nodes as live_nodes

if TYPE_CHECKING:
    from lingua_state.client import Store


@pytest.fixture
def values(values: dict[str, str]) -> dict[str, str]:
    return values | {"LINGUA_OPERATOR_ADMISSION": "mirror", "LINGUA_OPERATOR_MIRROR_GONE_MS": "1500"}


@pytest.mark.usefixtures("operator")
async def test_a_node_that_came_by_itself_is_shown_and_not_touched(nodes: Nodes, store: Store) -> None:
    await connect(store, "studio:7", capacity=9)
    name = name_of("studio:7")
    await nodes.until(name, "Ready", "Ready")
    body = nodes.get(name)
    assert body["spec"]["nodeId"] == "studio:7"
    assert body["spec"]["capacity"]["maxJobs"] == 9
    assert body["metadata"]["labels"]["lingua.dev/mirrored"] == "true"
    assert nodes.condition(name, "Accepted")["reason"] == "Mirrored"
    assert await declarations.get(store, "studio:7") is None
    nodes.delete(name)
    await eventually(lambda: is_new(nodes, name, body), within_s=SOON_S, what="shown again: the node is still there")
    assert (await live_nodes.get(store, "studio:7")) is not None


@pytest.mark.usefixtures("operator")
async def test_a_mirrored_resource_goes_when_its_node_was_away_for_long(nodes: Nodes, store: Store) -> None:
    await connect(store, "passing")
    name = name_of("passing")
    await nodes.until(name, "Ready", "Ready")
    await live_nodes.offline(store, "passing", "i1")
    await nodes.gone(name)


@pytest.mark.usefixtures("operator")
async def test_a_mirrored_resource_without_its_label_is_an_ordinary_one(nodes: Nodes, store: Store) -> None:
    await connect(store, "adopted")
    name = name_of("adopted")
    await nodes.until(name, "Ready", "Ready")
    nodes.patch(name, {"metadata": {"labels": {"lingua.dev/mirrored": None}}, "spec": {"weight": 5}})
    await nodes.until(name, "Registered", "Declared")
    declared = await declarations.get(store, "adopted")
    assert declared is not None
    assert declared.weight == 5


def is_new(nodes: Nodes, name: str, before: dict[str, Any]) -> bool:
    found = nodes.get(name)
    return bool(found) and found["metadata"]["uid"] != before["metadata"]["uid"]
