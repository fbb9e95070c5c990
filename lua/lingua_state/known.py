"""Nodes as people look for them: those that are in, and those that are declared and not connected."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lingua_state import declarations, nodes
from lingua_state.models import NodeRecord, NodeStatus
from lingua_state.pages import Page

if TYPE_CHECKING:
    from lingua_state.client import Store
    from lingua_state.declared import Declaration

#: What the cursor of a page of declared nodes begins with: those that are in come first.
_DECLARED = "d"


async def get_known(store: Store, node_id: str) -> NodeRecord | None:
    """Read a node that is in, was in lately, or is declared."""
    record = await nodes.get(store, node_id)
    if record is not None and record.status is not NodeStatus.OFFLINE:
        return record
    declaration = await declarations.get(store, node_id)
    return unconnected(declaration, record) if declaration else record


async def list_known(store: Store, limit: int = 100, cursor: str | None = None) -> Page[NodeRecord]:
    """Read a page of the nodes that are in, then of those that are declared and not connected.

    A page may be somewhat longer than ``limit``, or empty before the last one.

    :raises BadCursor: no page of this list gave ``cursor``.
    """
    if cursor is not None and cursor.startswith(_DECLARED):
        return await _list_unconnected(store, limit, cursor.removeprefix(_DECLARED))
    page = await nodes.list_nodes(store, limit, cursor)
    if page.cursor:
        return page
    more = await _list_unconnected(store, max(1, limit - len(page.items)), None)
    return Page(page.items + more.items, more.cursor)


async def _list_unconnected(store: Store, limit: int, cursor: str | None) -> Page[NodeRecord]:
    entries = await declarations.list_declared(store, limit, cursor)
    ids = {entry.node_id for entry in entries.items}
    known = await declarations.live(store, ids)
    absent = {node_id for node_id in ids if node_id not in known or not known[node_id].connected}
    found = await declarations.get_many(store, absent)
    records = tuple(unconnected(found[node_id]) for node_id in sorted(found))
    return Page(records, f"{_DECLARED}{entries.cursor}" if entries.cursor else None)


def unconnected(declaration: Declaration, last: NodeRecord | None = None) -> NodeRecord:
    """Describe a declared node that no process holds; ``last`` is what is still known of its last one."""
    now = last or NodeRecord(
        node_id=declaration.node_id, status=NodeStatus.OFFLINE, incarnation="", instance_id="", pool_id="",
        capability=declaration.capability, capacity=0, load=0, acks=False, version="", registered_ms=0, heartbeat_ms=0,
        lease_expires_ms=0, completed=0, failed=0, quarantined_until_ms=0, resources={}, document={},
    )  # fmt: skip
    return replace(
        now,
        status=NodeStatus.OFFLINE,
        pool_id=declaration.capability.pool_id,
        capability=declaration.capability,
        capacity=declaration.capacity,
        uid=declaration.uid,
        generation=declaration.generation,
        weight=declaration.weight,
        scheduling=declaration.scheduling.value,
    )
