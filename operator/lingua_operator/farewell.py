"""Leave a namespace that is being deleted, this operator with it: let go of what is in it while somebody still can.

Kubernetes deletes the pods of a namespace first, and its other objects only once they are gone. This operator is one of
those pods: without it nobody would take the finalizers off, and the namespace would stay for ever.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from lingua_operator.cluster import FLEETS, NAMESPACES, NODES, ClusterError, NotFound
from lingua_operator.fleets.parse import FLEET_FINALIZER
from lingua_operator.resource import FINALIZER
from lingua_state import declarations
from lingua_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_operator.cluster import Cluster, Kind
    from lingua_operator.context import Context

log = logging.getLogger(__name__)

#: Below the grace of the pod (30 s in the chart).
LONGEST_S: Final = 20.0
_AT_ONCE: Final = 16

Body = dict[str, Any]


async def leave(context: Context) -> None:
    """Take our finalizers off everything in our own namespace, if that is being deleted; bounded, never fails."""
    api = context.cluster
    if not context.settings.covers(api.namespace):
        return
    try:
        async with asyncio.timeout(LONGEST_S):
            if await _is_going(api):
                await _let_go(context, api)
    except (ClusterError, TimeoutError) as error:
        log.warning("the namespace could not be left in order", extra={"reason": type(error).__name__})


async def _is_going(api: Cluster) -> bool:
    try:
        return "deletionTimestamp" in (await api.get(NAMESPACES, "", api.namespace))["metadata"]
    except NotFound:
        return False


async def _let_go(context: Context, api: Cluster) -> None:
    await take_finalizers_off(api, [api.namespace])
    await _withdraw(context, api.namespace)


async def take_finalizers_off(api: Cluster, namespaces: Sequence[str]) -> int:
    """Take our finalizers off every fleet and node of some namespaces (none named: of the cluster); return how many
    had one. Safe to repeat.

    :raises ClusterError: the API server did not let us.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(kind: Kind, body: Body, finalizer: str) -> None:
        async with places:
            await _strip(api, kind, body, finalizer)

    count = 0
    # Fleets first: what is left of them asks for no nodes any more.
    for kind, finalizer in ((FLEETS, FLEET_FINALIZER), (NODES, FINALIZER)):
        held = [body for body in await api.list(kind, namespaces) if finalizer in _finalizers(body)]
        await asyncio.gather(*(one(kind, body, finalizer) for body in held))
        log.info("let go", extra={"kind": kind.kind, "count": len(held)})
        count += len(held)
    return count


async def _strip(api: Cluster, kind: Kind, body: Body, finalizer: str) -> None:
    metadata = body["metadata"]
    left = [each for each in metadata["finalizers"] if each != finalizer]
    # No test of the version: whatever changed meanwhile, nobody else takes this finalizer off.
    with suppress(NotFound):
        await api.merge(kind, metadata["namespace"], metadata["name"], {"metadata": {"finalizers": left}})


async def _withdraw(context: Context, namespace: str) -> None:
    """Take the nodes out of the store, which others may go on using; what can't be reached is left to its leases."""
    with suppress(StateError):
        for node in [node for node in context.known if node.namespace == namespace]:
            await declarations.withdraw(context.store, node.node_id, context.owner_of(node))


def _finalizers(body: Body) -> list[str]:
    found: list[str] = body["metadata"].get("finalizers", [])
    return found
