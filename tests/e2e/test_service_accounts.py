"""Nodes that prove who they are by a ServiceAccount: a real API server reviews their tokens for a real scheduler."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually, eventually_sync
from kit.kube.accounts import service_account, token
from kit.kube.api import path
from kit.nodes import Node
from kit.redis_servers import VALKEY, start_server
from kit.schedulers import Cluster, assert_no_marks, dump, start_scheduler
from kit.state import can
from lingua_state import declarations
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.declarations import Credential, Declaration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kit.kube.bed import Bed
    from kit.schedulers import SchedulerProcess

#: A safety on a busy machine.
SOON_S = 90.0
REVIEW = [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]
_numbers = count(1)


@pytest.fixture(scope="module")
def home(bed: Bed) -> str:
    """A namespace for all tests here."""
    return bed.namespace("nodes")


@pytest.fixture(scope="module")
def running(bed: Bed, home: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler with no right but to review tokens. What it can't review it logs as an error, so its log has some."""
    kubeconfig = service_account(bed, home, "scheduler", cluster_rules=REVIEW)
    store = start_server(VALKEY, tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KUBECONFIG", str(kubeconfig))
        scheduler = start_scheduler(
            tmp_path_factory.mktemp("accounts"), store.url, "reviewer", auth_token_review="true",
            instance_announce_ms=200,
        )  # fmt: skip
    try:
        eventually_sync(scheduler.is_ready, within_s=SOON_S, what="the scheduler is ready")
        yield Cluster(store, [scheduler])
        assert b"Traceback" not in scheduler.log.read_bytes()
    finally:
        assert scheduler.stop() == 0
        store.process.stop()


@pytest.fixture
def scheduler(running: Cluster) -> SchedulerProcess:
    return running.schedulers[0]


@pytest.fixture
async def store(running: Cluster) -> AsyncIterator[Store]:
    opened = await open_store(RedisSettings(url=running.store.url))
    yield opened
    await opened.close()


@pytest.fixture
async def node_id(store: Store, bed: Bed, home: str) -> str:
    """A node that is declared with the service account ``gpu``."""
    bed.account(home, "gpu")
    name = f"{home}.gpu-{next(_numbers)}"
    credential = Credential("service_account", f"{home}/gpu")
    await declarations.declare(store, Declaration(name, f"uid-{name}", 1, can("en", "es"), credential=credential))
    return name


async def refused(scheduler: SchedulerProcess, node_id: str, shown: str) -> tuple[str, int | None]:
    """Let a node try to come in with a token; return the code it was told and that of the close."""
    node = Node(scheduler.url, ("en",), ("es",), node_id=node_id, token=shown)
    await node.connect()
    try:
        await node.say(node.registration())
        close = await node.closed(SOON_S)
        return str(node.all("error")[0]["code"]), close
    finally:
        await node.disconnect()


def a_node(scheduler: SchedulerProcess, node_id: str, shown: str) -> Node:
    return Node(scheduler.url, ("en",), ("es",), node_id=node_id, token=shown)


async def test_only_the_declared_account_with_a_token_for_nodes_comes_in(
    bed: Bed, home: str, scheduler: SchedulerProcess, node_id: str
) -> None:
    bed.account(home, "cpu")
    elsewhere = bed.namespace("elsewhere")
    bed.account(elsewhere, "gpu")
    assert await refused(scheduler, node_id, "") == ("UNAUTHENTICATED", 4401)
    assert await refused(scheduler, node_id, "no token of anybody") == ("UNAUTHENTICATED", 4401)
    assert await refused(scheduler, node_id, token(bed, home, "gpu")) == ("UNAUTHENTICATED", 4401)
    assert await refused(scheduler, node_id, token(bed, home, "gpu", ["other"])) == ("UNAUTHENTICATED", 4401)
    for namespace, account in ((home, "cpu"), (elsewhere, "gpu")):
        shown = token(bed, namespace, account, ["lingua-node"])
        assert await refused(scheduler, node_id, shown) == ("FORBIDDEN", 4403)
    async with a_node(scheduler, node_id, token(bed, home, "gpu", ["lingua-node"])) as node:
        assert not node.all("error")


async def test_a_token_of_an_account_that_was_deleted_is_good_no_more(
    bed: Bed, home: str, scheduler: SchedulerProcess, node_id: str
) -> None:
    shown = token(bed, home, "gpu", ["lingua-node"])
    bed.api.delete(path("serviceaccounts", home, "gpu", group="v1")).expect()

    async def gone() -> bool:
        return await refused(scheduler, node_id, shown) == ("UNAUTHENTICATED", 4401)

    await eventually(gone, within_s=SOON_S)


async def test_without_the_right_to_review_nobody_new_comes_in_and_with_it_they_do(
    bed: Bed, home: str, scheduler: SchedulerProcess, node_id: str
) -> None:
    shown = token(bed, home, "gpu", ["lingua-node"])
    service_account(bed, home, "scheduler", cluster_rules=[])

    async def held_back() -> bool:
        # A token of its own each time: a good answer is kept for a minute.
        fresh = token(bed, home, "gpu", ["lingua-node"])
        return await refused(scheduler, node_id, fresh) == ("SCHEDULER_DEPENDENCY_DOWN", 1013)

    try:
        await eventually(held_back, within_s=SOON_S)
    finally:
        service_account(bed, home, "scheduler", cluster_rules=REVIEW)

    async def comes_in() -> bool:
        node = a_node(scheduler, node_id, shown)
        await node.connect()
        await node.say(node.registration())
        await eventually(lambda: node.all("node_register_ack") or node.all("error"), within_s=SOON_S)
        done = bool(node.all("node_register_ack"))
        await node.disconnect()
        return done

    await eventually(comes_in, within_s=SOON_S)


async def test_while_the_api_server_is_away_who_is_in_stays_and_who_is_new_tries_again(
    bed: Bed, home: str, scheduler: SchedulerProcess, store: Store, node_id: str
) -> None:
    first, second = (token(bed, home, "gpu", ["lingua-node"]) for _ in range(2))
    other = f"{node_id}-other"
    credential = Credential("service_account", f"{home}/gpu")
    said = Declaration(other, "uid-other", 1, can("en", "es"), credential=credential)
    await declarations.declare(store, said)
    async with a_node(scheduler, node_id, first) as node:
        bed.api_server.pause()
        try:
            assert await refused(scheduler, other, second) == ("SCHEDULER_DEPENDENCY_DOWN", 1013)
            # What is in is looked at again when its declaration changes, and needs no new proof.
            changed = Declaration(node_id, f"uid-{node_id}", 2, can("en", "es"), capacity=9, credential=credential)
            await declarations.declare(store, changed)
            async with a_node(scheduler, node_id, first) as again:
                assert again.all("node_register_ack")[0]["max_jobs"] == 9
                assert await node.closed(SOON_S) == 4409
        finally:
            bed.api_server.go_on()
            bed.wait_ready()


async def test_no_token_is_in_the_store_or_in_the_log(bed: Bed, home: str, running: Cluster, node_id: str) -> None:
    shown = token(bed, home, "gpu", ["lingua-node"])
    async with a_node(running.schedulers[0], node_id, shown):
        pass
    assert_no_marks("the store", dump(running.redis()), (shown.encode(), shown.rpartition(".")[2].encode()))
    assert shown.rpartition(".")[2] not in running.schedulers[0].log.read_text()
