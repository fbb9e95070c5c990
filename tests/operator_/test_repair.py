"""The store is a cache of what Kubernetes holds: what it lost is there again, what nobody wishes goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from kit import operators
from kit.eventually import eventually
from kit.operators import SOON_S, Nodes, connect
from kit.redis_servers import VALKEY, Server, start_server
from lingua_operator.known import Owner
from lingua_state import declarations
from lingua_state import nodes as live_nodes
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.declarations import Declaration
from lingua_state.models import Capability

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from kit.kube.bed import Bed


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    server = start_server(VALKEY, tmp_path)
    yield server
    server.process.stop()


@pytest.fixture
def values(bed: Bed, namespace: str, own_server: Server) -> dict[str, str]:
    return operators.environment(bed.kubeconfig, namespace, own_server.process.url, "own")


@pytest.fixture
async def store(own_server: Server) -> AsyncIterator[Store]:
    store = await open_store(RedisSettings(url=own_server.process.url, prefix="own"))
    yield store
    await store.close()


async def is_declared(store: Store, *node_ids: str) -> bool:
    return set(node_ids) <= set(await declarations.get_many(store, node_ids))


@pytest.mark.usefixtures("operator")
async def test_a_flushed_store_is_filled_again(nodes: Nodes, store: Store, own_server: Server) -> None:
    names = [f"n{number}" for number in range(5)]
    for name in names:
        nodes.create(name)
    for name in names:
        await nodes.until(name, "Registered", "Declared")
    versions = [nodes.get(name)["metadata"]["resourceVersion"] for name in names]
    own_server.flush()
    await eventually(
        lambda: is_declared(store, *(f"{nodes.namespace}.{name}" for name in names)), within_s=SOON_S, what="repaired"
    )
    assert [nodes.get(name)["metadata"]["resourceVersion"] for name in names] == versions


@pytest.mark.usefixtures("operator")
async def test_an_older_copy_of_the_store_is_brought_up_to_date(nodes: Nodes, store: Store, own_server: Server) -> None:
    nodes.create("one")
    nodes.create("gone")
    for name in ("one", "gone"):
        await nodes.until(name, "Registered", "Declared")
    with redis.Redis(port=own_server.process.port) as client:
        copy = {key: client.dump(key) for key in client.keys("own:*")}
        nodes.patch("one", {"spec": {"weight": 33}})
        nodes.delete("gone")
        await nodes.gone("gone")
        nodes.create("new")
        await nodes.until("new", "Registered", "Declared")
        client.flushall()
        for key, value in copy.items():
            client.restore(key, 0, value)

    async def right() -> bool:
        found = await declarations.get_many(store, [f"{nodes.namespace}.{name}" for name in ("one", "gone", "new")])
        weights = {name.rpartition(".")[2]: declared.weight for name, declared in found.items()}
        return weights == {"one": 33, "new": 100}

    await eventually(right, within_s=SOON_S, what="the later state is back, what was withdrawn is out")


@pytest.mark.usefixtures("operator")
async def test_orphans_of_ours_go_and_nodes_of_others_stay(nodes: Nodes, store: Store) -> None:
    ours = str(Owner("", nodes.namespace, "forgotten", "00000000-0000-0000-0000-000000000000"))
    elsewhere = str(Owner("", "another-namespace", "theirs", "00000000-0000-0000-0000-000000000001"))
    foreign = str(Owner("other-cluster", nodes.namespace, "theirs", "00000000-0000-0000-0000-000000000002"))
    capability = Capability(("en",), ("es",))
    for node_id, uid in (("a", ours), ("b", elsewhere), ("c", foreign), ("d", "not-an-operator")):
        await declarations.declare(store, Declaration(node_id, uid, 1, capability))
    await connect(store, "self-registered")

    async def only_ours_went() -> bool:
        return set(await declarations.get_many(store, "abcd")) == {"b", "c", "d"}

    await eventually(only_ours_went, within_s=SOON_S)
    assert await live_nodes.get(store, "self-registered") is not None


async def test_a_resource_deleted_while_no_operator_ran_is_let_go(
    nodes: Nodes, store: Store, values: dict[str, str]
) -> None:
    async with operators.running(values):
        nodes.create("one")
        await nodes.until("one", "Registered", "Declared")
    nodes.delete("one")
    assert nodes.get("one")["metadata"]["deletionTimestamp"]
    async with operators.running(values):
        await nodes.gone("one")
    assert not await is_declared(store, f"{nodes.namespace}.one")


async def test_a_store_that_is_away_is_told_and_its_return_is_followed(
    nodes: Nodes, values: dict[str, str], own_server: Server
) -> None:
    values |= {"LINGUA_REDIS_RETRY_BUDGET_MS": "300", "LINGUA_REDIS_TIMEOUT_MS": "300"}
    async with operators.running(values):
        nodes.create("one")
        await nodes.until("one", "Registered", "Declared")
        with redis.Redis(port=own_server.process.port) as client:
            client.execute_command("CLIENT", "PAUSE", "4000", "ALL")
        told = await nodes.until("one", "Ready", "StoreUnavailable")
        assert told["status"] == "Unknown"
        await nodes.until("one", "Registered", "Declared")


async def test_a_deletion_with_the_store_away_ends_at_its_deadline_with_a_warning(
    nodes: Nodes, values: dict[str, str], own_server: Server
) -> None:
    values |= {"LINGUA_REDIS_RETRY_BUDGET_MS": "300", "LINGUA_REDIS_TIMEOUT_MS": "300"}
    async with operators.running(values):
        nodes.create("one", drainDeadlineSeconds=3)
        await nodes.until("one", "Registered", "Declared")
        own_server.process.stop()
        nodes.delete("one")
        await nodes.until("one", "Drained", "StoreUnavailable")
        await nodes.gone("one")
        await nodes.told("one", "StoreUnavailable")
