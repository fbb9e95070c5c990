"""Write statuses: onto kopf's patch inside a handler, or by our own client elsewhere. Only what changed is written."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from lingua_operator import events
from lingua_operator.cluster import NODES, ClusterError, Conflict, NotFound, Refused
from lingua_operator.conditions import READY, stamp
from lingua_operator.events import Told
from lingua_operator.nodes import settle
from lingua_operator.reconcile import status_onto
from lingua_operator.resource import FINALIZER, parse_node

if TYPE_CHECKING:
    from collections.abc import Iterable

    import kopf

    from lingua_operator.context import Context
    from lingua_operator.nodes import Settled
    from lingua_operator.resource import Node

log = logging.getLogger(__name__)


def onto_patch(patch: kopf.Patch, node: Node, settled: Settled) -> None:
    """Let kopf write what changed, against the newest body it has; nothing when nothing changed."""
    before = node.raw_status
    if status_onto(before, node, settled.facts, settled.conclusion) == before:
        return

    def write(body: Any) -> None:  # noqa: ANN401 - kopf's raw body
        body["status"] = status_onto(dict(body.get("status") or {}), node, settled.facts, settled.conclusion)

    patch.fns.append(write)


async def settle_and_write(context: Context, node: Node) -> None:
    """Reconcile outside of a handler, and write what changed. A later resync repeats what failed."""
    if node.deleted is None and FINALIZER not in node.finalizers:
        await _hold(context, node)
        return
    settled = await settle(context, node)
    after = status_onto(node.raw_status, node, settled.facts, settled.conclusion)
    if settled.released:
        await _let_go(context, node, settled)
    elif after != node.raw_status and await _write(context, node, {"path": "/status", "value": after}, "status"):
        await tell(context, node, settled)


async def settle_all(context: Context, nodes: Iterable[Node]) -> None:
    """Reconcile many, bounded, so that neither the API server nor the store is flooded. What one of them runs into is
    logged, and holds no other one up: it is tried again with the next resync."""
    gate = asyncio.Semaphore(context.settings.kubernetes.writes_in_flight)

    async def one(node: Node) -> None:
        async with gate:
            try:
                await settle_and_write(context, node)
            except Exception:
                log.exception("a resource could not be settled", extra={"node_id": node.node_id})
                context.dirty.add(node.key)

    await asyncio.gather(*(one(node) for node in nodes))


async def tell(context: Context, node: Node, settled: Settled) -> None:
    """Post the events that a settled node is worth."""
    before = node.raw_status
    after = status_onto(before, node, settled.facts, settled.conclusion)
    told = events.told_by(before, after)
    if settled.lost:
        message = f"{settled.lost} jobs still ran when its drain deadline passed: they are given to other nodes."
        told.append(Told("Warning", "DrainDeadline", message, f"lost {node.generation}"))
    if settled.blind:
        message = "It was let go while the store was away: the schedulers forget it when its heartbeats end."
        told.append(Told("Warning", "StoreUnavailable", message, f"blind {node.generation}"))
    for each in told:
        await events.post(context.cluster, node, each, stamp(settled.facts.now))


def ready_reason(node: Node) -> str:
    """Say in one word how a node is."""
    ready = node.status.condition(READY)
    return ready.reason if ready else "New"


async def _hold(context: Context, node: Node) -> None:
    """Set our finalizer, where kopf did not get to it: the resource comes by again with it."""
    await _write(context, node, {"path": "/metadata/finalizers", "value": [*node.finalizers, FINALIZER]})


async def _let_go(context: Context, node: Node, settled: Settled) -> None:
    """Drop our finalizer, where kopf did not get to it."""
    if FINALIZER not in node.finalizers:
        return
    left = [each for each in node.finalizers if each != FINALIZER]
    if await _write(context, node, {"path": "/metadata/finalizers", "value": left}):
        await tell(context, node, settled)


async def _write(context: Context, node: Node, change: dict[str, Any], subresource: str = "") -> bool:
    """Write one part of a resource, if it is still the one we saw. False: it is to be looked at again."""
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": node.resource_version}
    outcome = "written"
    try:
        written = await context.cluster.patch(
            NODES, *node.key, [test, {"op": "add", **change}], subresource=subresource
        )
        context.known.see(parse_node(written))
    except NotFound:
        outcome = "gone"
    except (Refused, Conflict):
        outcome = "outdated"
    except ClusterError as error:
        outcome = "failed"
        log.info("a resource could not be written", extra={"status": error.status, "node_id": node.node_id})
    context.metrics.status_writes.labels(outcome).inc()
    if outcome in ("outdated", "failed"):
        context.dirty.add(node.key)
    return outcome == "written"
