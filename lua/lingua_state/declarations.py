"""Declared nodes: say what a node is to be, take it back, and compare what the store holds with what it should hold.

The operator is the only writer. Every write is fenced by the resource's uid and generation, so that an older operator
changes nothing. Jobs that a call moves are told to their owners by the next sweep of any scheduler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lingua_state import nodes, pools
from lingua_state.declared import (
    Credential,
    Declaration,
    Scheduling,
    bound,
    declared_digest,
    digest_of_sums,
    read_declaration,
)
from lingua_state.epoch import ensure_epoch
from lingua_state.errors import NodeIdTaken, StaleGeneration, StoreFault
from lingua_state.models import Capability, NodeStatus
from lingua_state.pages import BadCursor, Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lingua_state.client import Store
    from lingua_state.models import NodeRecord
    from lingua_state.multiplexed import Word

__all__ = [
    "Credential",
    "Declaration",
    "Declared",
    "DeclaredEntry",
    "DeclaredSummary",
    "LiveNode",
    "Scheduling",
    "Withdrawn",
    "declare",
    "declared_digest",
    "get",
    "get_many",
    "list_declared",
    "live",
    "summary",
    "withdraw",
]

#: Nodes that one call reads, and jobs that one call ends, so that it holds nobody up.
_BATCH = 100
#: Calls of one declaration: a node that connects or a class that is retired meanwhile costs one more.
_TRIES = 50


@dataclass(frozen=True, slots=True)
class Declared:
    """What came of a declaration: ``applied``, or ``unchanged`` (nothing was written). ``assigned``: waiting jobs that
    got a slot by it."""

    outcome: str
    assigned: int = 0


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What came of taking a declaration back: ``removed``, ``missing`` (there was none), or ``taken`` (another resource
    holds the node id: nothing was changed). ``lost``: attempts that were ended."""

    outcome: str
    lost: int = 0


@dataclass(frozen=True, slots=True)
class DeclaredSummary:
    """All declarations in one look. ``epoch``: another one, and the store lost its past. ``digest``: as
    :func:`declared_digest` of what should be there, if all is well. ``live_digest``: another one, and a declared node
    connected, left or changed its status."""

    epoch: str
    count: int
    digest: str
    live_digest: str


@dataclass(frozen=True, slots=True)
class DeclaredEntry:
    """A declaration in short."""

    node_id: str
    uid: str
    generation: int
    digest: str


@dataclass(frozen=True, slots=True)
class LiveNode:
    """How a node is. One that went is known for ten minutes more, as ``offline``."""

    status: NodeStatus
    load: int
    capacity: int
    instance_id: str
    incarnation: str
    heartbeat_ms: int

    @property
    def connected(self) -> bool:
        """Tell whether a process holds it."""
        return self.status is not NodeStatus.OFFLINE


async def declare(store: Store, declaration: Declaration, replaces: str | None = None) -> Declared:
    """Say what a node is to be. A connected node follows in the same step: class, capacity, weight, scheduling.

    Safe to repeat, and free where the very same was declared before.

    :param replaces: the uid of a resource that held the node id and is known to be gone.
    :raises StaleGeneration: a later generation of the same uid was applied; nothing was changed.
    :raises NodeIdTaken: another resource holds the node id; nothing was changed.
    """
    seen: NodeRecord | None = None
    for _ in range(_TRIES):
        capability = _capability_of(declaration, seen)
        outcome, *rest = await _declare(store, declaration, replaces or "", seen, capability)
        if outcome in ("applied", "unchanged"):
            return Declared(outcome, int(rest[0]) if rest else 0)
        if outcome == "stale_generation":
            raise StaleGeneration(f"{declaration.node_id} is at generation {rest[0]}")
        if outcome == "taken":
            raise NodeIdTaken(declaration.node_id, str(rest[0]))
        if outcome == "moved":
            seen = await nodes.get(store, declaration.node_id)
        elif outcome == "unlisted":
            await pools.list_class(store, declaration.capability, declaration.node_id)
            await pools.list_class(store, capability, declaration.node_id)
        else:
            raise StoreFault(f"an outcome nobody knows: {outcome}")
    raise StoreFault(f"{declaration.node_id} could not be declared: it changes again and again")


async def withdraw(store: Store, node_id: str, uid: str) -> Withdrawn:
    """Take a declaration back, and its node out if it is connected; its jobs go back to their owners.

    Safe to repeat: the second call finds nothing. A process that is still connected and may come in without a
    declaration registers again by itself.
    """
    args: list[Word] = [store.keys.root, store.keys.session_root, node_id, uid, _BATCH]
    keys = [store.keys.node(node_id), store.keys.nodes_declared(), store.keys.nodes_declared_sums()]
    outcome, *rest = await store.scripts.run("withdraw_node", keys, args)
    if outcome != "removed":
        return Withdrawn(str(outcome))
    incarnation, lost, left = str(rest[0]), int(rest[1]), int(rest[2])
    if left:
        lost += len(await nodes.offline(store, node_id, incarnation, "drain"))
    return Withdrawn("removed", lost)


async def summary(store: Store) -> DeclaredSummary:
    """Read the epoch and the sums over all declarations, at the same cost however many there are."""
    keys = [store.keys.epoch(), store.keys.nodes_declared(), store.keys.nodes_declared_sums()]
    _, epoch, count, *sums = await store.scripts.run("declared_summary", keys)
    *parts, live_sum = (int(number) for number in sums)
    return DeclaredSummary(
        str(epoch) or await ensure_epoch(store), int(count), digest_of_sums(parts), digest_of_sums([live_sum])
    )


async def list_declared(store: Store, limit: int = 500, cursor: str | None = None) -> Page[DeclaredEntry]:
    """Read a page of what is declared. A page may be longer than ``limit`` or empty, and an entry may come twice.

    :raises BadCursor: no page of this list gave ``cursor``.
    """
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 20):
        raise BadCursor("this is not a cursor of the declarations' list")
    keys = [store.keys.nodes_declared()]
    _, following, *rows = await store.scripts.run("declared_list", keys, [cursor or "0", limit])
    entries = tuple(
        DeclaredEntry(node_id, uid, int(generation), digest) for node_id, uid, generation, digest in rows
    )  # fmt: skip
    return Page(entries, None if str(following) == "0" else str(following))


async def get(store: Store, node_id: str) -> Declaration | None:
    """Read what a node is to be; None: it is not declared."""
    return (await get_many(store, [node_id])).get(node_id)


async def get_many(store: Store, node_ids: Iterable[str]) -> dict[str, Declaration]:
    """Read what nodes are to be; those that are not declared are left out."""
    found: dict[str, Declaration] = {}
    for part in _batches(sorted(set(node_ids))):
        args: list[Word] = [store.keys.root, *part]
        _, *rows = await store.scripts.run("declared_read", [store.keys.nodes_declared()], args)
        for node_id, row in zip(part, rows, strict=True):
            if row and row[0]:
                found[node_id] = read_declaration(node_id, row[0], row[1])
    return found


async def live(store: Store, node_ids: Iterable[str]) -> dict[str, LiveNode]:
    """Read how nodes are; those that nobody knows are left out."""
    found: dict[str, LiveNode] = {}
    for part in _batches(sorted(set(node_ids))):
        _, *rows = await store.scripts.run("declared_live", [store.keys.node(node_id) for node_id in part])
        for node_id, row in zip(part, rows, strict=True):
            if row:
                status, load, capacity, instance_id, heartbeat_ms, incarnation = row
                found[node_id] = LiveNode(
                    NodeStatus(status), int(load), int(capacity), instance_id, incarnation, int(heartbeat_ms)
                )
    return found


def _capability_of(declaration: Declaration, seen: NodeRecord | None) -> Capability:
    """Say which class a node goes to: the declared one, or within it what the connected process can do."""
    if seen is None:
        return declaration.capability
    offered = seen.capability if seen.offered is None else seen.offered
    return bound(declaration, offered).capability


async def _declare(
    store: Store, declaration: Declaration, replaces: str, seen: NodeRecord | None, capability: Capability
) -> list[Any]:
    keys = [
        store.keys.node(declaration.node_id),
        store.keys.pool_def(declaration.capability.pool_id),
        store.keys.nodes_declared(),
        store.keys.pool_def(capability.pool_id),
    ]
    offered = seen.offered.canonical() if seen is not None and seen.offered is not None else ""
    was = [seen.incarnation, seen.pool_id, offered] if seen is not None else ["", "", ""]
    args: list[Word] = [
        store.keys.root, store.keys.session_root, declaration.node_id, declaration.text(), replaces, *was,
        capability.pool_id,
    ]  # fmt: skip
    return await store.scripts.run("declare_node", keys, args)


def _batches(ids: Sequence[str]) -> Iterable[list[str]]:
    for start in range(0, len(ids), _BATCH):
        yield list(ids[start : start + _BATCH])
