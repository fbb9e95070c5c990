"""Fleets when things go wrong: the operator is killed, the store is away, the API server wants to be left alone."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from kit import operators
from kit.eventually import eventually
from kit.kube.accounts import service_account, token
from kit.kube.fault_proxy import Call, Proxy, fault_proxy
from kit.operator_fleets import NODE, Fleets, processes
from kit.operators import SOON_S
from kit.processes import go_on, pause
from kit.redis_servers import VALKEY, start_server
from lingua_operator import rights
from lingua_state.client import RedisSettings, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from kit.kube.bed import Bed
    from lingua_state.client import Store


pytestmark = pytest.mark.slow


@pytest.fixture
def fleets(bed: Bed, namespace: str) -> Fleets:
    return Fleets(bed.api, namespace)


@pytest.fixture
async def machines(store: Store) -> AsyncIterator[None]:
    async with processes(store):
        yield


@pytest.mark.usefixtures("machines")
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_an_operator_killed_again_and_again_leaves_what_was_wished(
    fleets: Fleets, values: dict[str, str], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    with operators.process(values, tmp_path / "operator.log") as operator:
        fleets.create("es", 12, updateStrategy={"maxSurge": 2, "maxUnavailable": 1})
        kills = 0
        for change in (
            {"replicas": 12},
            {"replicas": 4},
            {"replicas": 9},
            {"template": {"spec": {**NODE, "weight": 7}}},
        ):
            fleets.patch("es", change)
            begun = fleets.status("es")
            await eventually(lambda: fleets.status("es") != begun, within_s=SOON_S)  # noqa: B023
            await eventually(lambda: chance.random() < 0.01, within_s=SOON_S, what="a moment to kill it")
            operator.end(signal.SIGKILL)
            kills += 1
            operator.start()
        await fleets.until_ready("es", 9)
        assert kills == 4
    nodes = fleets.nodes("es")
    assert len(nodes) == 9
    assert {each["spec"]["weight"] for each in nodes} == {7}
    assert {each["spec"]["scheduling"] for each in nodes} == {"Active"}


@pytest.mark.usefixtures("machines")
async def test_two_operators_make_no_node_twice(fleets: Fleets, values: dict[str, str], tmp_path: Path) -> None:
    with operators.process(values, tmp_path / "a.log"), operators.process(values, tmp_path / "b.log"):
        fleets.create("es", 15)
        most = 0

        def all_there() -> bool:
            nonlocal most
            most = max(most, len(fleets.nodes("es")))
            return most >= 15

        await eventually(all_there, within_s=SOON_S)
        await fleets.until_ready("es", 15)
        fleets.scale("es", 3)
        await fleets.until_ready("es", 3)
        assert most == 15


@pytest.fixture
def proxy(bed: Bed, tmp_path: Path) -> Iterator[Proxy]:
    with fault_proxy(bed, tmp_path) as running:
        yield running


@pytest.fixture
def through(bed: Bed, namespace: str, values: dict[str, str], proxy: Proxy, tmp_path: Path) -> dict[str, str]:
    """Send the operator through the proxy, with the rights of its own table and no others."""
    service_account(bed, namespace, "operator", rules=rights.rules(("core", "pods", "fleets", "mirror")))
    kubeconfig = proxy.kubeconfig(token(bed, namespace, "operator"), namespace, tmp_path)
    return values | {"KUBECONFIG": str(kubeconfig), "LINGUA_OPERATOR_KUBERNETES_RETRY_BUDGET_MS": "2000"}


@pytest.mark.row("F34")
@pytest.mark.timeout(500)
@pytest.mark.usefixtures("machines")
async def test_an_operator_killed_at_every_call_of_a_fleet_ends_with_what_was_wished(
    fleets: Fleets, through: dict[str, str], proxy: Proxy, tmp_path: Path
) -> None:
    killed: set[str] = set()
    with operators.process(through, tmp_path / "log") as process:

        def kill_at(call: Call, phase: str) -> None:
            what = f"{phase} {call.what.rsplit('/es-', 1)[0]}"
            if what not in killed and process.process is not None:
                killed.add(what)
                process.process.send_signal(signal.SIGKILL)

        proxy.faults.before = lambda call: kill_at(call, "before")
        proxy.faults.after = lambda call: kill_at(call, "after")
        fleets.create("es", 3)
        await come_to_rest(fleets, process, 3)
        fleets.patch("es", {"replicas": 2, "template": {"spec": {**NODE, "weight": 7}}})
        await come_to_rest(fleets, process, 2)
    assert {each["spec"]["weight"] for each in fleets.nodes("es")} == {7}
    assert len(fleets.nodes("es")) == 2
    made = "before POST /apis/lingua.dev/v1alpha1/namespaces/*/translationnodes"
    assert made in killed, killed
    assert any("DELETE" in each for each in killed), killed


async def come_to_rest(fleets: Fleets, process: operators.Process, replicas: int) -> None:
    """Start the operator again whenever it was killed, until the fleet is as wished."""

    def rests() -> bool:
        if process.ended:
            process.start()
        found = fleets.get("es")
        status = found.get("status", {})
        counts = [status.get(name) for name in ("replicas", "readyReplicas", "updatedReplicas", "observedGeneration")]
        return counts == [replicas] * 3 + [found["metadata"]["generation"]]

    await eventually(rests, within_s=220, what=f"{replicas} nodes in spite of kills")


@pytest.mark.row("F35")
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("machines")
@pytest.mark.parametrize("status", [409, 429, 500])
async def test_a_fleet_grows_and_shrinks_at_an_api_server_that_refuses_each_fifth_call(
    fleets: Fleets, through: dict[str, str], proxy: Proxy, status: int
) -> None:
    chance = random.Random(35)
    proxy.faults.answer = lambda call: (
        status if chance.random() < 0.2 and (status != 409 or call.method in ("PATCH", "POST", "DELETE")) else None
    )
    async with operators.running(through):
        fleets.create("es", 8)
        await fleets.until_ready("es", 8)
        assert len(fleets.nodes("es")) == 8
        fleets.scale("es", 3)
        await fleets.until_ready("es", 3)
        proxy.faults.answer = lambda _: None
    assert proxy.faults.done > 0


@pytest.mark.row("F35")
async def test_an_api_server_that_wants_to_be_left_alone_is_left_alone(
    fleets: Fleets, through: dict[str, str], proxy: Proxy
) -> None:
    posts = 0

    def refuse_creations(call: Call) -> int | None:
        nonlocal posts
        if call.method == "POST" and call.path.endswith("/translationnodes"):
            posts += 1
            return 429
        return None

    async with operators.running(through):
        proxy.faults.answer = refuse_creations
        fleets.create("es", 60)
        await eventually(lambda: posts >= 4, within_s=SOON_S)
        # One call at a time, each after the pause that was asked for: 60 nodes wait, not 60 calls.
        begun_s, begun = time.monotonic(), posts
        await eventually(lambda: posts >= begun + 4, within_s=SOON_S)
        assert time.monotonic() - begun_s >= 2
        proxy.faults.answer = lambda _: None
        await eventually(lambda: len(fleets.nodes("es")) == 60, within_s=SOON_S)
        fleets.delete("es")


async def test_while_the_store_is_away_no_node_is_drained_and_afterwards_it_is(
    fleets: Fleets, values: dict[str, str], tmp_path: Path
) -> None:
    server = start_server(VALKEY, tmp_path)
    prefix = values["LINGUA_REDIS_PREFIX"]
    store = await open_store(RedisSettings(url=server.url, prefix=prefix))
    try:
        async with operators.running(values | {"LINGUA_REDIS_URL": server.url, "LINGUA_REDIS_TIMEOUT_MS": "300"}):
            async with processes(store):
                fleets.create("es", 3)
                await fleets.until_ready("es", 3)
            pause(server.process.process.pid)
            fleets.scale("es", 1)
            await eventually(lambda: fleets.get("es")["status"]["observedGeneration"] == 2, within_s=SOON_S)
            assert {each["spec"]["scheduling"] for each in fleets.nodes("es")} == {"Active"}
            go_on(server.process.process.pid)
            async with processes(store):
                await fleets.until_ready("es", 1)
    finally:
        go_on(server.process.process.pid)
        await store.close()
        server.process.stop()
