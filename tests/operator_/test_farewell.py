"""`kubectl delete namespace` takes the operator's own pod first: it leaves nothing behind that only it could let go."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from kit import chart, operators
from kit.eventually import eventually
from kit.kube.accounts import service_account, token
from kit.kube.api import path
from kit.kube.authority import write_kubeconfig
from kit.operators import SOON_S, Nodes, connect, give_work
from lingua_operator import rights
from lingua_state import declarations

if TYPE_CHECKING:
    from pathlib import Path

    from kit.kube.bed import Bed
    from lingua_state.client import Store

_FLEET = {"spec": {"replicas": 1, "template": {"spec": {"languages": {"asr": ["fr"], "tts": ["it"]}}}}}


@pytest.fixture
def values(bed: Bed, namespace: str, values: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Let the operator be at home in the namespace, with an account that does not go with it.

    A pod's rights outlive its pod in a deletion, and there are no pods here to hold the deletion up.
    """
    name = f"{namespace}-operator"
    service_account(bed, "default", name, cluster_rules=rights.rules(("core", "pods", "fleets")))
    where = tmp_path / "kubeconfig"
    write_kubeconfig(where, bed.url, bed.authority.pem, token(bed, "default", name), namespace)
    return values | {"KUBECONFIG": str(where)}


async def _with_work(bed: Bed, nodes: Nodes, store: Store) -> None:
    """Make a fleet, and a node that is busy for longer than anybody waits."""
    fleets = path("translationfleets", nodes.namespace)
    fleet = {"apiVersion": "lingua.dev/v1alpha1", "kind": "TranslationFleet", "metadata": {"name": "fleet"}, **_FLEET}
    bed.api.create(fleets, fleet).expect()
    nodes.create("busy", drainDeadlineSeconds=3600)
    await nodes.until("busy", "Registered", "Declared")
    await connect(store, f"{nodes.namespace}.busy")
    await give_work(store, f"{nodes.namespace}.busy")
    await eventually(lambda: len(_names(bed, nodes.namespace)) == 2, within_s=SOON_S, what="the fleet's node")


def _names(bed: Bed, namespace: str) -> list[str]:
    found = bed.api.get(path("translationnodes", namespace)).expect()["items"]
    return [each["metadata"]["name"] for each in found if each["metadata"].get("finalizers")]


async def test_an_operator_that_is_deleted_with_its_namespace_holds_nothing_back(
    bed: Bed, nodes: Nodes, store: Store, values: dict[str, str], tmp_path: Path
) -> None:
    with operators.process(values, tmp_path / "log") as process:
        await _with_work(bed, nodes, store)
        where = path("namespaces", name=nodes.namespace, group="v1")
        bed.api.delete(where).expect()
        assert process.end(signal.SIGTERM) == 0, process.said()
        await eventually(lambda: bed.api.get(where).status == 404, within_s=SOON_S, what="namespace gone")
    assert not (await declarations.list_declared(store)).items


async def test_an_operator_that_is_only_stopped_leaves_everything_as_it_is(
    bed: Bed, nodes: Nodes, store: Store, values: dict[str, str], tmp_path: Path
) -> None:
    with operators.process(values, tmp_path / "log") as process:
        await _with_work(bed, nodes, store)
        assert process.end(signal.SIGTERM) == 0, process.said()
    assert len(_names(bed, nodes.namespace)) == 2
    assert len((await declarations.list_declared(store)).items) == 2


async def test_an_uninstall_leaves_resources_that_anybody_can_delete(
    bed: Bed, nodes: Nodes, store: Store, values: dict[str, str], tmp_path: Path
) -> None:
    with operators.process(values, tmp_path / "log") as process:
        await _with_work(bed, nodes, store)
        assert process.end(signal.SIGTERM) == 0, process.said()
    role = chart.one(chart.render(chart.HOSTS, nodes.namespace), "Role", "-uninstall")
    account = service_account(bed, nodes.namespace, "uninstall", rules=role["rules"])
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lingua_operator.uninstall", nodes.namespace,
        env={**os.environ, "KUBECONFIG": str(account)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, complaint = await program.communicate()
    assert program.returncode == 0, complaint
    assert not _names(bed, nodes.namespace)
    assert nodes.get("busy"), "what users made stays"
    nodes.delete("busy")
    await nodes.gone("busy")
