"""Faults of the operator and of its way to the API server: rows F34, F35 and F36 of the catalogue."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from kit import operators
from kit.eventually import eventually
from kit.kube.accounts import service_account, token
from kit.kube.fault_proxy import Call, Proxy, fault_proxy
from kit.operators import SOON_S, Nodes
from lingua_operator import rights
from lingua_operator.resource import FINALIZER
from lingua_state import declarations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kit.kube.bed import Bed
    from lingua_state.client import Store

pytestmark = pytest.mark.slow

_SEED = 20_261_121


@pytest.fixture
def proxy(bed: Bed, tmp_path: Path) -> Iterator[Proxy]:
    with fault_proxy(bed, tmp_path) as running:
        yield running


@pytest.fixture
def values(bed: Bed, namespace: str, values: dict[str, str], proxy: Proxy, tmp_path: Path) -> dict[str, str]:
    """Send the operator through the proxy."""
    service_account(bed, namespace, "operator", rules=rights.rules(("core", "pods", "fleets", "mirror")))
    through = proxy.kubeconfig(token(bed, namespace, "operator"), namespace, tmp_path)
    return values | {
        "KUBECONFIG": str(through),
        "LINGUA_OPERATOR_KUBERNETES_RETRY_BUDGET_MS": "2000",
        "LINGUA_OPERATOR_WATCH_INACTIVITY_MS": "3000",
        "LINGUA_OPERATOR_RESYNC_LIST_MS": "4000",
    }


def final(nodes: Nodes, name: str) -> dict[str, Any]:
    """Reduce a resource to what two undisturbed runs agree on."""
    body = nodes.get(name)
    status = body.get("status", {})
    return {
        "spec": body.get("spec"),
        "finalizers": body["metadata"].get("finalizers"),
        "status": {name: status.get(name) for name in ("observedGeneration", "membershipRevision", "pairs")},
        "conditions": {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions", [])},
    }


async def is_settled(nodes: Nodes, store: Store) -> bool:
    """Tell whether the story has come to its end: one kept and changed, one new, one deleted."""
    held = await declarations.get_many(store, [f"{nodes.namespace}.{name}" for name in ("kept", "gone", "new")])
    weights = {name.rpartition(".")[2]: declared.weight for name, declared in held.items()}
    if weights != {"kept": 7, "new": 100} or nodes.get("gone"):
        return False
    return all(nodes.condition(name, "Registered").get("reason") == "Declared" for name in ("kept", "new")) and (
        nodes.condition("kept", "Registered")["observedGeneration"] == 2
    )


async def tell_the_story(nodes: Nodes) -> None:
    """Do what a user does, each step once the one before it was seen."""
    nodes.create("kept")
    nodes.create("gone")
    for name in ("kept", "gone"):
        await nodes.until(name, "Registered", "Declared")
    nodes.patch("kept", {"spec": {"weight": 7}})
    nodes.delete("gone")
    nodes.create("new")


@pytest.mark.row("F34")
@pytest.mark.timeout(400)
async def test_an_operator_killed_at_every_call_ends_where_an_undisturbed_one_does(
    nodes: Nodes, store: Store, values: dict[str, str], proxy: Proxy, tmp_path: Path
) -> None:
    killed: set[str] = set()
    with operators.process(values, tmp_path / "log") as process:

        def kill_at(call: Call, phase: str) -> None:
            if f"{phase} {call.what}" not in killed and process.process is not None:
                killed.add(f"{phase} {call.what}")
                process.process.send_signal(signal.SIGKILL)

        proxy.faults.before = lambda call: kill_at(call, "before")
        proxy.faults.after = lambda call: kill_at(call, "after")

        def kept_running() -> None:
            if process.ended:
                process.start()

        async def registered(*names: str) -> None:
            def done() -> bool:
                kept_running()
                return all(nodes.condition(name, "Registered").get("reason") == "Declared" for name in names)

            await eventually(done, within_s=180, what=f"{names} registered in spite of {len(killed)} kills")

        nodes.create("kept")
        nodes.create("gone")
        await registered("kept", "gone")
        nodes.patch("kept", {"spec": {"weight": 7}})
        nodes.delete("gone")
        nodes.create("new")

        async def settled() -> bool:
            kept_running()
            return await is_settled(nodes, store)

        await eventually(settled, within_s=180, what=f"settled in spite of {len(killed)} kills")
    assert len(killed) >= 8, killed
    assert final(nodes, "kept") == {
        "spec": nodes.get("kept")["spec"],
        "finalizers": [FINALIZER],
        "status": {"observedGeneration": 2, "membershipRevision": 2, "pairs": 2},
        "conditions": {
            "Accepted": ("True", "Accepted"),
            "Registered": ("True", "Declared"),
            "Connected": ("False", "NotConnected"),
            "Ready": ("False", "NotConnected"),
            "Drained": ("False", "NotDraining"),
        },
    }
    assert {entry.node_id for entry in (await declarations.list_declared(store)).items} == {
        f"{nodes.namespace}.kept", f"{nodes.namespace}.new",
    }  # fmt: skip


@pytest.mark.row("F35")
async def test_a_silent_watch_is_noticed_and_left(
    nodes: Nodes, store: Store, values: dict[str, str], proxy: Proxy
) -> None:
    async with operators.running(values):
        nodes.create("before")
        await nodes.until("before", "Registered", "Declared")
        proxy.faults.silent = True
        nodes.create("unheard")
        await eventually(lambda: proxy.faults.done > 20, within_s=SOON_S)
        proxy.faults.silent = False
        await nodes.until("unheard", "Registered", "Declared")
    assert await declarations.get(store, f"{nodes.namespace}.unheard")


@pytest.mark.row("F35")
async def test_a_version_that_is_gone_makes_the_operator_list_again(
    nodes: Nodes, values: dict[str, str], proxy: Proxy
) -> None:
    async with operators.running(values):
        nodes.create("one")
        await nodes.until("one", "Registered", "Declared")
        proxy.faults.gone = True
        await eventually(lambda: proxy.faults.done > 0, within_s=SOON_S)
        proxy.faults.gone = False
        nodes.create("two")
        await nodes.until("two", "Registered", "Declared")


@pytest.mark.row("F35")
@pytest.mark.parametrize("status", [409, 429, 500])
async def test_an_api_server_that_refuses_each_second_call_is_borne(
    nodes: Nodes, store: Store, values: dict[str, str], proxy: Proxy, status: int
) -> None:
    chance = random.Random(_SEED)
    proxy.faults.answer = lambda call: (
        status if chance.random() < 0.5 and (status != 409 or call.method in ("PATCH", "POST")) else None
    )
    async with operators.running(values):
        begun, at_first = time.monotonic(), len(proxy.faults.calls)
        await tell_the_story(nodes)
        await eventually(lambda: is_settled(nodes, store), within_s=SOON_S, what="settled")
        taken_s = time.monotonic() - begun
        calls = len(proxy.faults.calls) - at_first
    assert proxy.faults.done > 0
    assert calls / max(taken_s, 1) < 3 * 10, "a hot loop"


@pytest.mark.row("F36")
async def test_two_operators_at_once_do_no_harm(
    bed: Bed, nodes: Nodes, store: Store, values: dict[str, str], tmp_path: Path
) -> None:
    with operators.process(values, tmp_path / "first") as first:
        async with operators.running(values):
            await tell_the_story(nodes)
            await eventually(lambda: is_settled(nodes, store), within_s=SOON_S, what="settled")
            assert not first.ended
    writes = [
        event
        for event in bed.audit()
        if event.get("objectRef", {}).get("namespace") == nodes.namespace
        and event["objectRef"].get("name") == "new"
        and event["objectRef"].get("resource") == "translationnodes"
        and event["verb"] == "patch"
        and event["responseStatus"]["code"] < 300
    ]
    # Finalizer, mark and status by one, and at most once more by the other.
    assert len(writes) <= 6, [event["requestURI"] for event in writes]


@pytest.mark.row("F36")
async def test_a_standby_takes_over_when_the_leader_stops_or_dies(
    nodes: Nodes, store: Store, values: dict[str, str], bed: Bed, tmp_path: Path
) -> None:
    values |= {
        "KUBECONFIG": str(bed.kubeconfig),
        "LINGUA_OPERATOR_STANDBY_ENABLED": "true",
        "LINGUA_OPERATOR_STANDBY_NAMESPACE": nodes.namespace,
        "LINGUA_OPERATOR_STANDBY_LEASE_MS": "5000",
        "LINGUA_OPERATOR_STANDBY_RENEW_MS": "3000",
        "LINGUA_OPERATOR_STANDBY_RETRY_MS": "1000",
    }
    with operators.process(values, tmp_path / "first") as first:
        await eventually(lambda: "the operator works" in first.said(), within_s=SOON_S)
        async with operators.running(values) as second:
            assert not second.works
            nodes.create("one")
            await nodes.until("one", "Registered", "Declared")
            first.end(signal.SIGKILL)
            await eventually(lambda: second.works, within_s=SOON_S, what="taken over")
            nodes.create("two")
            await nodes.until("two", "Registered", "Declared")
            with operators.process(values, tmp_path / "third") as third:
                second.stop()
                await eventually(lambda: "the operator works" in third.said(), within_s=SOON_S, what="handed over")
    assert len((await declarations.list_declared(store)).items) == 2
