"""Two resources that claim one node id: the older has it, the other is told who does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually
from kit.operators import SOON_S, Nodes
from lingua_state import declarations

if TYPE_CHECKING:
    from lingua_state.client import Store

pytestmark = pytest.mark.usefixtures("operator")


async def test_the_older_resource_holds_the_id_and_the_other_names_it(nodes: Nodes, store: Store) -> None:
    node_id = f"{nodes.namespace}.shared"
    nodes.create("older", nodeId=node_id, weight=11)
    await nodes.until("older", "Registered", "Declared")
    nodes.create("younger", nodeId=node_id, weight=22)
    told = await nodes.until("younger", "Accepted", "NodeIdTaken")
    assert f"{nodes.namespace}/older" in told["message"]
    assert (await nodes.until("younger", "Ready", "NodeIdTaken"))["status"] == "False"
    declared = await declarations.get(store, node_id)
    assert declared is not None
    assert declared.weight == 11
    assert nodes.condition("older", "Registered")["reason"] == "Declared"
    await nodes.told("younger", "NodeIdTaken")


async def test_the_younger_one_takes_over_when_the_older_is_gone(nodes: Nodes, store: Store) -> None:
    node_id = f"{nodes.namespace}.shared"
    nodes.create("older", nodeId=node_id)
    await nodes.until("older", "Registered", "Declared")
    nodes.create("younger", nodeId=node_id, weight=22)
    await nodes.until("younger", "Accepted", "NodeIdTaken")
    nodes.delete("older")
    await nodes.until("younger", "Registered", "Declared")
    declared = await declarations.get(store, node_id)
    assert declared is not None
    assert declared.weight == 22


async def test_a_loser_is_deleted_without_a_word_to_the_store(nodes: Nodes, store: Store) -> None:
    node_id = f"{nodes.namespace}.shared"
    nodes.create("older", nodeId=node_id)
    await nodes.until("older", "Registered", "Declared")
    nodes.create("younger", nodeId=node_id)
    await nodes.until("younger", "Accepted", "NodeIdTaken")
    nodes.delete("younger")
    await nodes.gone("younger")
    assert await declarations.get(store, node_id) is not None


async def test_a_node_id_that_a_deleted_resource_left_behind_is_taken_over(nodes: Nodes, store: Store) -> None:
    nodes.create("one")
    await nodes.until("one", "Registered", "Declared")
    # Somebody takes the finalizer off by hand, and makes the resource again at once.
    nodes.delete("one")
    nodes.api.patch(
        f"/apis/lingua.dev/v1alpha1/namespaces/{nodes.namespace}/translationnodes/one",
        {"metadata": {"finalizers": None}},
    )
    await nodes.gone("one")
    nodes.create("one", weight=7)
    await nodes.until("one", "Registered", "Declared")

    async def declared_anew() -> bool:
        declared = await declarations.get(store, f"{nodes.namespace}.one")
        return declared is not None and declared.weight == 7

    await eventually(declared_anew, within_s=SOON_S)
