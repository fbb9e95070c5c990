"""An operator that finds nothing to do writes nothing; resources it can't serve, or that go in odd ways, end well."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import aiohttp

from kit import operators
from kit.eventually import eventually
from kit.kube.api import path
from kit.operators import SOON_S, Nodes, Thread, connect, give_work
from lingua_state import declarations
from lingua_state.declarations import Declaration

if TYPE_CHECKING:
    from pathlib import Path

    from kit.kube.bed import Bed
    from lingua_state.client import Store

WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def writes(bed: Bed, namespace: str) -> list[tuple[str, str]]:
    """List the writes to TranslationNodes of a namespace."""
    return [
        (event["verb"], event["requestURI"])
        for event in bed.audit()
        if event["verb"] in WRITES
        and event.get("objectRef", {}).get("namespace") == namespace
        and event["objectRef"].get("resource") == "translationnodes"
    ]


async def test_a_restart_writes_nothing_to_unchanged_resources(
    bed: Bed, nodes: Nodes, store: Store, values: dict[str, str]
) -> None:
    names = [f"n{number}" for number in range(6)]
    async with operators.running(values):
        for name in names:
            nodes.create(name)
        for name in names:
            await nodes.until(name, "Registered", "Declared")
    before, digest = writes(bed, nodes.namespace), (await declarations.summary(store)).digest
    async with operators.running(values) as operator:
        await settled_rounds(operator)
    assert writes(bed, nodes.namespace) == before
    assert (await declarations.summary(store)).digest == digest


async def settled_rounds(operator: Thread, rounds: int = 5) -> None:
    """Wait until a few comparisons were made after all resources were resumed."""
    inner = operator.operator
    assert inner is not None
    begun = inner.metrics.registry.get_sample_value("lingua_operator_resync_seconds_count") or 0

    def passed() -> bool:
        count = inner.metrics.registry.get_sample_value("lingua_operator_resync_seconds_count") or 0
        return count >= begun + rounds

    await eventually(passed, within_s=SOON_S)


async def test_a_namespace_with_work_in_it_can_be_deleted(
    bed: Bed, nodes: Nodes, store: Store, values: dict[str, str]
) -> None:
    async with operators.running(values):
        nodes.create("idle")
        nodes.create("busy", drainDeadlineSeconds=2)
        for name in ("idle", "busy"):
            await nodes.until(name, "Registered", "Declared")
        await connect(store, f"{nodes.namespace}.busy")
        await give_work(store, f"{nodes.namespace}.busy")
        bed.api.delete(path("namespaces", name=nodes.namespace, group="v1")).expect()
        for name in ("idle", "busy"):
            await nodes.gone(name)
        where = path("namespaces", name=nodes.namespace, group="v1")
        await eventually(lambda: bed.api.get(where).status == 404, within_s=SOON_S, what="namespace gone")
    assert not (await declarations.list_declared(store)).items


async def test_others_may_label_a_resource_and_add_conditions(bed: Bed, nodes: Nodes, values: dict[str, str]) -> None:
    async with operators.running(values) as operator:
        nodes.create("one")
        await nodes.until("one", "Registered", "Declared")
        where = path("translationnodes", nodes.namespace, "one")
        theirs = {
            "type": "Inspected", "status": "True", "reason": "Fine", "message": "", "lastTransitionTime":
            "2026-01-01T00:00:00Z",
        }  # fmt: skip
        conditions = [*nodes.get("one")["status"]["conditions"], theirs]
        bed.api.patch(f"{where}/status", {"status": {"conditions": conditions}}).expect()
        nodes.patch("one", {"metadata": {"labels": {"team": "speech"}}})
        before = writes(bed, nodes.namespace)
        await settled_rounds(operator)
        assert writes(bed, nodes.namespace) == before
        nodes.patch("one", {"spec": {"scheduling": "Cordoned"}})
        await nodes.until("one", "Ready", "Cordoned")
        assert nodes.condition("one", "Inspected")["lastTransitionTime"] == "2026-01-01T00:00:00Z"


async def test_a_condition_moves_its_time_only_when_its_status_changes(nodes: Nodes, values: dict[str, str]) -> None:
    async with operators.running(values):
        nodes.create("one")
        first = await nodes.until("one", "Registered", "Declared")
        nodes.patch("one", {"spec": {"weight": 3}})

        def observed() -> bool:
            return bool(nodes.condition("one", "Registered").get("observedGeneration") == 2)

        await eventually(observed, within_s=SOON_S)
        assert nodes.condition("one", "Registered")["lastTransitionTime"] == first["lastTransitionTime"]


async def test_the_program_answers_probes_and_stops_at_once(
    nodes: Nodes, values: dict[str, str], tmp_path: Path
) -> None:
    with operators.process(values, tmp_path / "log") as process:
        nodes.create("one")
        await nodes.until("one", "Registered", "Declared")
        port = await eventually(lambda: said_port(process.said()), within_s=SOON_S)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            for route, text in (("/healthz", "ok"), ("/readyz", "working")):
                async with client.get(route) as answer:
                    assert (answer.status, await answer.text()) == (200, text)
            async with client.get("/metrics") as answer:
                assert 'lingua_operator_nodes{reason="NotConnected"} 1.0' in await answer.text()
        assert process.end(signal.SIGTERM) == 0
    assert "Traceback" not in process.said()


def said_port(log: str) -> str:
    """Find the port in the log."""
    return log.partition('"port":')[2].partition("}")[0].partition(",")[0]


async def test_a_resource_that_an_older_operator_saw_last_is_not_set_back(
    nodes: Nodes, store: Store, values: dict[str, str]
) -> None:
    async with operators.running(values):
        nodes.create("one")
        await nodes.until("one", "Registered", "Declared")
        (entry,) = (await declarations.list_declared(store)).items
        held = await declarations.get(store, entry.node_id)
        assert held is not None
        # A later generation was applied, by an operator that sees more than ours does.
        later = Declaration(held.node_id, held.uid, 9, held.capability, held.capacity, 77)
        await declarations.declare(store, later)
        nodes.patch("one", {"spec": {"weight": 3}})
        await nodes.until("one", "Registered", "Superseded")
        assert await declarations.get(store, entry.node_id) == later
