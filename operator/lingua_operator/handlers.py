"""What kopf calls: nothing but its decorators, and one line each.

A handler never asks kopf to try again for trouble of the store: the resync does, for all nodes at once. Only a deletion
waits, by kopf's own delay, and any change of the resource (our status is one) ends the wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kopf

from lingua_operator import nodes, statuses
from lingua_operator.cluster import FLEETS, NODES, PODS
from lingua_operator.resource import parse_node

if TYPE_CHECKING:
    from lingua_operator.context import Context
    from lingua_operator.fleets.controller import Fleets
    from lingua_operator.pod_keeper import PodKeeper

#: kopf asks for a delay; a deletion goes on at the next change anyway.
_LONGEST_WAIT_S = 590.0


def register_nodes(registry: kopf.OperatorRegistry, context: Context) -> None:
    """Register everything about TranslationNodes."""
    where: dict[str, Any] = {
        "group": NODES.group,
        "version": NODES.version,
        "plural": NODES.plural,
        "registry": registry,
    }

    @kopf.on.event(**where)
    async def seen(event: Any, body: kopf.Body, **_: Any) -> None:  # noqa: ANN401 - kopf's
        node = parse_node(body)
        if event["type"] != "DELETED":
            context.known.see(node)
            context.touched(node)
        elif context.known.end(node):
            context.pods.forget(node)
            context.touched(node)
            await nodes.forget(context, node)

    @kopf.on.create(**where)
    @kopf.on.update(**where)
    @kopf.on.resume(**where)
    async def changed(body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:  # noqa: ANN401 - kopf's
        node = parse_node(body)
        settled = await nodes.settle(context, node)
        statuses.onto_patch(patch, node, settled)
        await statuses.tell(context, node, settled)

    @kopf.on.delete(**where)
    async def deleted(body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:  # noqa: ANN401 - kopf's
        node = parse_node(body)
        settled = await nodes.settle(context, node)
        await statuses.tell(context, node, settled)
        if settled.released:
            return
        statuses.onto_patch(patch, node, settled)
        left_s = (settled.until - settled.facts.now).total_seconds() if settled.until else 5.0
        raise kopf.TemporaryError("the node is drained", delay=min(max(left_s, 1.0), _LONGEST_WAIT_S))


def register_pods(registry: kopf.OperatorRegistry, keeper: PodKeeper) -> None:
    """Register that the pods of nodes are seen."""

    @kopf.on.event(PODS.group, PODS.version, PODS.plural, registry=registry)
    async def seen(event: Any, body: kopf.Body, **_: Any) -> None:  # noqa: ANN401 - kopf's
        keeper.seen(event["type"], body)


def register_fleets(registry: kopf.OperatorRegistry, fleets: Fleets) -> None:
    """Register that fleets are seen. Only seen: they are tended by their own loop, which needs no memory of kopf's."""

    @kopf.on.event(FLEETS.group, FLEETS.version, FLEETS.plural, registry=registry)
    async def seen(event: Any, body: kopf.Body, **_: Any) -> None:  # noqa: ANN401 - kopf's
        fleets.seen(event["type"], body)
