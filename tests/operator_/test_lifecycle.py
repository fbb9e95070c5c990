"""A TranslationNode from its creation to its end, on a real API server and a real store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually
from kit.operators import SOON_S, Nodes, connect, finish, give_work
from lingua_operator.resource import FINALIZER
from lingua_state import declarations
from lingua_state import nodes as live_nodes
from lingua_state.declarations import Scheduling

if TYPE_CHECKING:
    from lingua_state.client import Store

pytestmark = pytest.mark.usefixtures("operator")


async def test_a_created_node_is_declared_and_tells_so(nodes: Nodes, store: Store) -> None:
    nodes.create("one", capacity={"maxJobs": 7}, weight=40)
    await nodes.until("one", "Registered", "Declared")
    declared = await declarations.get(store, f"{nodes.namespace}.one")
    assert declared is not None
    assert (declared.capacity, declared.weight, declared.scheduling) == (7, 40, Scheduling.ACTIVE)
    status = nodes.get("one")["status"]
    assert status["nodeId"] == f"{nodes.namespace}.one"
    assert (status["pairs"], status["pairsSample"]) == (2, ["en:de", "en:es"])
    assert status["observedGeneration"] == status["membershipRevision"] == 1
    assert nodes.get("one")["metadata"]["finalizers"] == [FINALIZER]


async def test_a_change_reaches_the_store(nodes: Nodes, store: Store) -> None:
    nodes.create("one")
    await nodes.until("one", "Registered", "Declared")
    nodes.patch("one", {"spec": {"scheduling": "Cordoned"}})
    await nodes.until("one", "Ready", "Cordoned")
    declared = await declarations.get(store, f"{nodes.namespace}.one")
    assert declared is not None
    assert declared.scheduling is Scheduling.CORDONED


async def test_a_process_that_connects_and_leaves_is_seen(nodes: Nodes, store: Store) -> None:
    nodes.create("one")
    await nodes.until("one", "Connected", "NotConnected")
    node_id = f"{nodes.namespace}.one"
    await connect(store, node_id)
    await nodes.until("one", "Ready", "Ready")
    await live_nodes.offline(store, node_id, "i1")
    await nodes.until("one", "Ready", "NotConnected")
    await nodes.told("one", "Connected", "NotConnected")


async def test_an_idle_node_goes_at_once(nodes: Nodes, store: Store) -> None:
    nodes.create("one")
    await nodes.until("one", "Registered", "Declared")
    nodes.delete("one")
    await nodes.gone("one")
    assert await declarations.get(store, f"{nodes.namespace}.one") is None


async def test_what_was_declared_is_there_again_after_it_was_lost(nodes: Nodes, store: Store) -> None:
    nodes.create("one")
    await nodes.until("one", "Registered", "Declared")
    node_id, owner = f"{nodes.namespace}.one", ""
    for entry in (await declarations.list_declared(store)).items:
        owner = entry.uid
    await declarations.withdraw(store, node_id, owner)
    await eventually(lambda: declarations.get(store, node_id), within_s=SOON_S)


async def test_a_deleted_node_waits_for_its_jobs(nodes: Nodes, store: Store) -> None:
    nodes.create("one")
    await nodes.until("one", "Registered", "Declared")
    node_id = f"{nodes.namespace}.one"
    await connect(store, node_id)
    job = await give_work(store, node_id)
    nodes.delete("one")
    await nodes.until("one", "Drained", "Draining")
    declared = await declarations.get(store, node_id)
    assert declared is not None
    assert declared.scheduling is Scheduling.DRAINING
    await finish(store, job)
    await nodes.gone("one")
    assert await declarations.get(store, node_id) is None


async def test_a_drain_ends_at_its_deadline(nodes: Nodes, store: Store) -> None:
    nodes.create("one", drainDeadlineSeconds=2)
    await nodes.until("one", "Registered", "Declared")
    node_id = f"{nodes.namespace}.one"
    await connect(store, node_id)
    await give_work(store, node_id)
    nodes.delete("one")
    await nodes.gone("one")
    await nodes.told("one", "DrainDeadline")


async def test_a_deadline_that_is_shortened_while_it_drains_counts(nodes: Nodes, store: Store) -> None:
    nodes.create("one", drainDeadlineSeconds=80_000)
    await nodes.until("one", "Registered", "Declared")
    node_id = f"{nodes.namespace}.one"
    await connect(store, node_id)
    await give_work(store, node_id)
    nodes.delete("one")
    await nodes.until("one", "Drained", "Draining")
    nodes.patch("one", {"spec": {"drainDeadlineSeconds": 0}})
    await nodes.gone("one")


async def test_a_node_drained_by_its_spec_stays_and_tells_when_it_is_idle(nodes: Nodes, store: Store) -> None:
    nodes.create("one")
    await nodes.until("one", "Registered", "Declared")
    node_id = f"{nodes.namespace}.one"
    await connect(store, node_id)
    job = await give_work(store, node_id)
    nodes.patch("one", {"spec": {"scheduling": "Draining"}})
    await nodes.until("one", "Drained", "Draining")
    started = nodes.get("one")["status"]["drainStartTime"]
    await finish(store, job)
    await nodes.until("one", "Drained", "Drained")
    assert nodes.get("one")["status"]["drainStartTime"] == started
    nodes.patch("one", {"spec": {"scheduling": "Active"}})
    await nodes.until("one", "Ready", "Ready")
    assert "drainStartTime" not in nodes.get("one")["status"]


async def test_jobs_of_a_node_drained_by_its_spec_go_to_others_at_the_deadline(nodes: Nodes, store: Store) -> None:
    nodes.create("one", drainDeadlineSeconds=1)
    await nodes.until("one", "Registered", "Declared")
    node_id = f"{nodes.namespace}.one"
    await connect(store, node_id)
    await give_work(store, node_id)
    nodes.patch("one", {"spec": {"scheduling": "Draining"}})
    await nodes.until("one", "Drained", "DeadlinePassed")
    live = await declarations.live(store, [node_id])
    assert live[node_id].load == 0
    declared = await declarations.get(store, node_id)
    assert declared is not None
    assert declared.scheduling is Scheduling.DRAINING
