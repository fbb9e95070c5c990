"""Show nodes that registered by themselves as resources, as kubelets register Nodes (admission ``mirror``).

A mirrored resource says nothing to the store: it never fights the node. Take its label ``lingua.dev/mirrored`` away and
it becomes an ordinary one, which then does.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from typing import TYPE_CHECKING, Any

from lingua_operator.cluster import NODES, ClusterError, Conflict, Refused
from lingua_operator.resource import LABEL_MIRRORED, LABEL_NODE_ID
from lingua_state import nodes
from lingua_state.errors import StateError
from lingua_state.models import AUTO
from lingua_wire.ids import is_id

if TYPE_CHECKING:
    from lingua_operator.context import Context
    from lingua_operator.resource import Node, NodeSpec
    from lingua_state.models import NodeRecord

log = logging.getLogger(__name__)

_PAGE = 500
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NOT_A_NAME = re.compile(r"[^a-z0-9]+")


class Mirror:
    """The loop that keeps mirrored resources in step with the nodes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        settings = context.settings
        self._namespace = (
            settings.mirror.namespace or next(iter(settings.namespace_list()), "") or context.cluster.namespace
        )
        self._seen_s: dict[str, float] = {}

    async def run(self) -> None:
        """Mirror until cancelled."""
        while True:
            try:
                await self.once()
            except (StateError, ClusterError) as error:
                log.info("a round of mirroring did not go through", extra={"reason": type(error).__name__})
            except Exception:  # whatever one node ran into: nothing would ever be mirrored again
                log.exception("mirroring failed")
            await asyncio.sleep(self._context.settings.resync.live_ms / 1000)

    async def once(self) -> None:
        """Mirror what is new or changed, and remove what is gone for long."""
        if self._context.store_trouble:
            return
        records = {record.node_id: record for record in await self._records() if not record.uid}
        now_s = time.monotonic()
        self._seen_s |= dict.fromkeys(records, now_s)
        ours = {node.node_id: node for node in self._context.known if node.mirrored}
        self._context.metrics.mirrored.set(len(ours))
        room = self._context.settings.mirror.limit - len(ours)
        for record in records.values():
            node = ours.get(record.node_id)
            if node is not None:
                await self._follow(node, record)
            elif room > 0 and not self._context.known.by_node_id(record.node_id):
                room -= await self._make(record)
        for node in ours.values():
            await self._drop_if_gone(node, now_s)

    async def _records(self) -> list[NodeRecord]:
        found: list[NodeRecord] = []
        cursor: str | None = None
        while True:
            page = await nodes.list_nodes(self._context.store, _PAGE, cursor)
            found += page.items
            cursor = page.cursor
            if cursor is None:
                return found

    async def _make(self, record: NodeRecord) -> int:
        """Make a resource for a node; 1: it is there."""
        body = manifest_of(record, self._namespace)
        if body is None:
            return 0
        try:
            await self._context.cluster.create(NODES, body)
        except Conflict:
            return 1
        except Refused as error:
            # What a node says of itself may be more than the schema allows; it goes on working all the same.
            log.info("a node can't be shown as a resource", extra={"node_id": record.node_id, "status": error.status})
            return 0
        return 1

    async def _follow(self, node: Node, record: NodeRecord) -> None:
        wanted = _spec(record)
        if node.spec is None or node.deleted or _said(node.spec) == wanted:
            return
        body = {"metadata": {"resourceVersion": node.resource_version}, "spec": wanted}
        try:
            await self._context.cluster.merge(NODES, *node.key, body)
        except (Conflict, Refused):
            return

    async def _drop_if_gone(self, node: Node, now_s: float) -> None:
        seen_s = self._seen_s.setdefault(node.node_id, now_s)
        if node.deleted or now_s - seen_s < self._context.settings.mirror.gone_ms / 1000:
            return
        await self._context.cluster.delete(NODES, *node.key, uid=node.uid)
        del self._seen_s[node.node_id]


def manifest_of(record: NodeRecord, namespace: str) -> dict[str, Any] | None:
    """Write the resource of a node that registered by itself; None: it has no languages, or a name nobody can use."""
    if not is_id(record.node_id) or not record.capability.pairs():
        return None
    labels = {LABEL_MIRRORED: "true"}
    if _LABEL.fullmatch(record.node_id):
        labels[LABEL_NODE_ID] = record.node_id
    return {
        "metadata": {"name": name_of(record.node_id), "namespace": namespace, "labels": labels},
        "spec": {"nodeId": record.node_id, **_spec(record)},
    }


def name_of(node_id: str) -> str:
    """Name the resource of a node: readable, and different for different nodes."""
    readable = _NOT_A_NAME.sub("-", node_id.lower()).strip("-")[:46].strip("-") or "node"
    return f"{readable}-{hashlib.sha256(node_id.encode()).hexdigest()[:10]}"


def _spec(record: NodeRecord) -> dict[str, Any]:
    capability = record.capability
    excluded = {
        pair for pair in capability.exclude if pair.source in capability.asr and pair.target in capability.targets
    }
    languages: dict[str, Any] = {
        "asr": sorted({*capability.asr, *([AUTO] if capability.auto else [])}),
        "tts": sorted(set(capability.targets)),
    }
    if excluded:
        languages["exclude"] = [{"source": pair.source, "target": pair.target} for pair in sorted(excluded, key=str)]
    return {"languages": languages, "capacity": {"maxJobs": record.capacity}}


def _said(spec: NodeSpec) -> dict[str, Any]:
    """Write what a mirrored resource says now, in the same words."""
    languages = spec.languages
    said: dict[str, Any] = {"asr": sorted(languages.asr), "tts": sorted(languages.tts)}
    if languages.exclude:
        pairs = sorted(f"{pair.source}:{pair.target}" for pair in languages.exclude)
        said["exclude"] = [dict(zip(("source", "target"), pair.split(":"), strict=True)) for pair in pairs]
    return {"languages": said, "capacity": {"maxJobs": spec.capacity.max_jobs}}
