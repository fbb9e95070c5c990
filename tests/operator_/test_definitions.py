"""The definitions go while resources exist, and come while the operator waits: on an API server of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit import operators
from kit.eventually import eventually
from kit.kube.bed import DEFINITIONS, define_resources, kubernetes
from kit.operators import SOON_S, Nodes
from lingua_state import declarations

if TYPE_CHECKING:
    from pathlib import Path

    from kit.redis_servers import Server
    from lingua_state.client import Store


@pytest.mark.timeout(240)
async def test_definitions_that_are_removed_take_all_nodes_out_and_may_come_back(
    store: Store, valkey: Server, prefix: str, tmp_path: Path
) -> None:
    with kubernetes(tmp_path / "bed") as bed:
        namespace = bed.namespace()
        nodes = Nodes(bed.api, namespace)
        values = operators.environment(bed.kubeconfig, namespace, valkey.process.url, prefix)
        with operators.process(values, tmp_path / "log") as process:
            nodes.create("one")
            await nodes.until("one", "Registered", "Declared")
            bed.api.delete(f"{DEFINITIONS}/translationnodes.lingua.dev").expect()

            async def taken_out() -> bool:
                if process.ended:
                    process.start()  # as Kubernetes does
                return not (await declarations.list_declared(store)).items

            await eventually(taken_out, within_s=SOON_S, what="taken out")
            where = f"{DEFINITIONS}/translationnodes.lingua.dev"
            await eventually(lambda: bed.api.get(where).status == 404, within_s=SOON_S, what="definition gone")
            define_resources(bed.api)

            def works_again() -> bool:
                if process.ended:
                    process.start()
                return bool(nodes.get("two")) or bool(nodes.create("two"))

            await eventually(works_again, within_s=SOON_S)

            def declared() -> bool:
                if process.ended:
                    process.start()
                return bool(nodes.condition("two", "Registered").get("reason") == "Declared")

            await eventually(declared, within_s=SOON_S, what="declared")
