"""Nodes: let one in, hear its heartbeat, keep work from it, let it go; and reading them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lingua_state import pools
from lingua_state.declared import bound, check_bound, without_access
from lingua_state.errors import Redeclared, StoreFault
from lingua_state.models import Beaten, NodeStatus, Registered
from lingua_state.pages import BadCursor, Page
from lingua_state.records import to_assigned_all, to_fields, to_lost, to_node

if TYPE_CHECKING:
    from lingua_state.client import Store
    from lingua_state.declared import Declaration
    from lingua_state.models import Assigned, Capability, LostJob, NodeBeat, NodeRecord, NodeRegistration, Pair
    from lingua_state.multiplexed import Word

_BATCH = 100
#: Calls of one registration: each ends 100 jobs of the connection before, or lists the class.
_TRIES = 1_000
_CURSOR = re.compile(r"\d{1,20}")


async def register(store: Store, registration: NodeRegistration) -> Registered:
    """Let a node in, or let its newest connection take it over.

    What a declared node says of itself counts within its declaration alone.

    :raises Redeclared: its declaration is not the one given; nothing was changed.
    :raises DeclarationApart: nothing that it can do is declared.
    :raises ClassesRefused: it is of a new class that would be one too many.
    :raises ValueError: capacity or lease below 1.
    """
    if registration.capacity < 1 or registration.lease_ms < 1:
        raise ValueError("capacity and lease_ms are at least 1")
    bounded = _within_declaration(registration)
    lost: list[LostJob] = []
    for _ in range(_TRIES):
        outcome, *rest = await _register(store, bounded, registration.capability)
        if outcome == "ok":
            return Registered(NodeStatus(rest[0]), tuple(lost), to_assigned_all(rest[1]))
        if outcome == "lost":
            lost += to_lost(rest[0])
        elif outcome == "unlisted":
            await pools.list_class(store, bounded.capability, bounded.node_id, bounded.bounds)
        elif outcome == "redeclared":
            raise Redeclared(f"{registration.node_id} is declared otherwise by now")
        else:
            raise StoreFault(f"an outcome nobody knows: {outcome}")
    raise StoreFault(f"{registration.node_id} could not be let in: its class is unlisted again and again")


async def heartbeat(store: Store, beat: NodeBeat) -> Beaten:
    """Renew a node's lease and note how it is; never brings back one that was taken out.

    :raises Redeclared: its declaration is not the one given; nothing was changed.
    :raises ClassesRefused: it is of a new class that would be one too many; nothing was changed.
    """
    capability = beat.capability
    if capability and beat.declaration:
        capability = bound(beat.declaration, capability).capability
        beat = replace(beat, ready=beat.ready and bool(capability.pairs()))
    outcome, *rest = await _beat(store, beat, capability)
    if outcome == "unlisted" and capability:
        await pools.list_class(store, capability, beat.node_id, beat.bounds)
        outcome, *rest = await _beat(store, beat, capability)
    if outcome == "redeclared":
        raise Redeclared(f"{beat.node_id} is declared otherwise by now")
    if outcome == "ok":
        return Beaten("ok", NodeStatus(rest[0]), to_assigned_all(rest[1]))
    # A class that was retired in between is listed again when the node registers.
    return Beaten("unknown" if outcome == "unlisted" else outcome)


async def drain(store: Store, node_id: str) -> bool:
    """Give a node nothing new; what it has, it keeps. False: it is not known."""
    outcome, *_ = await _set_drained(store, node_id, "1")
    return bool(outcome == "ok")


async def undrain(store: Store, node_id: str) -> tuple[Assigned, ...]:
    """Let a drained node have work again; return the waiting jobs it got at once."""
    outcome, *rest = await _set_drained(store, node_id, "")
    return to_assigned_all(rest[0]) if outcome == "ok" else ()


async def offline(store: Store, node_id: str, incarnation: str, reason: str = "node_lost") -> tuple[LostJob, ...]:
    """Take a node out and return the jobs it had. Of an incarnation that does not hold the node it changes nothing."""
    return await _take(store, node_id, incarnation, reason, out=1)


async def release_jobs(store: Store, node_id: str, incarnation: str, reason: str = "drain") -> tuple[LostJob, ...]:
    """End the attempts a node has, but let it stay, as at the end of a drain."""
    return await _take(store, node_id, incarnation, reason, out=0)


async def exclude_from_pair(store: Store, node_id: str, pair: Pair, ttl_ms: int) -> None:
    """Keep a node out of one pair for a while, since a model of it is not there."""
    await store.scripts.run("node_exclude", [store.keys.node(node_id)], [str(pair), ttl_ms])


async def get(store: Store, node_id: str) -> NodeRecord | None:
    """Read a node; one that went is known for ten minutes more."""
    found = await _read(store, [node_id])
    return found[0] if found else None


async def list_nodes(store: Store, limit: int = 100, cursor: str | None = None) -> Page[NodeRecord]:
    """Read a page of the nodes that are in. A page may be somewhat longer than ``limit``, or empty before the last one.

    :raises BadCursor: no page of this list gave ``cursor``.
    """
    if cursor and not _CURSOR.fullmatch(cursor):
        raise BadCursor("this is not a cursor of the nodes' list")
    position: Any = cursor or "0"
    ids: list[str] = []
    while len(ids) < limit:
        position, more = await store.call("SSCAN", store.keys.nodes_all(), position, "COUNT", limit)
        ids += more
        if str(position) == "0":
            break
    records = await _read(store, sorted(set(ids)))
    return Page(tuple(records), None if str(position) == "0" else str(position))


async def count(store: Store) -> int:
    """Count the nodes that are in."""
    return int(await store.call("SCARD", store.keys.nodes_all()))


def _within_declaration(said: NodeRegistration) -> NodeRegistration:
    declared = said.declaration
    if declared is None:
        return said
    found = check_bound(declared, said.capability, said.services)
    document = {**said.document, "serves": list(found.services)}
    return replace(said, capability=found.capability, capacity=declared.capacity, document=document)


def _offered(capability: Capability | None, declaration: Declaration | None) -> str:
    return without_access(capability).canonical() if capability and declaration else ""


async def _register(store: Store, wanted: NodeRegistration, offered: Capability) -> list[Any]:
    keys = [
        store.keys.node(wanted.node_id),
        store.keys.pool_def(wanted.capability.pool_id),
        store.keys.nodes_all(),
        store.keys.nodes_lease(),
        store.keys.nodes_declared(),
    ]
    args: list[Word] = [
        store.keys.root, store.keys.session_root, wanted.node_id, wanted.incarnation, wanted.instance_id,
        wanted.capability.pool_id, wanted.capacity, wanted.lease_ms, _digest(wanted.declaration),
        _offered(offered, wanted.declaration),
        "ready" if wanted.ready else "registering", 1 if wanted.acks else 0, wanted.version,
        json.dumps(wanted.document), wanted.slow_start_ms,
    ]  # fmt: skip
    return await store.scripts.run("register_node_v2", keys, args)


async def _beat(store: Store, beat: NodeBeat, capability: Capability | None) -> list[Any]:
    pool_id = capability.pool_id if capability else ""
    keys = [
        store.keys.node(beat.node_id),
        store.keys.nodes_lease(),
        store.keys.pool_def(pool_id),
        store.keys.nodes_declared(),
    ]
    args: list[Word] = [
        store.keys.root, store.keys.session_root, beat.node_id, beat.incarnation, beat.lease_ms, _reported(beat),
        pool_id, json.dumps(beat.resources) if beat.resources else "", _digest(beat.declaration),
        _offered(beat.capability, beat.declaration),
    ]  # fmt: skip
    return await store.scripts.run("heartbeat_with_pool_assign", keys, args)


def _digest(declaration: Declaration | None) -> str:
    return declaration.digest if declaration else ""


def _reported(beat: NodeBeat) -> str:
    if beat.draining:
        return "draining"
    if not beat.ready:
        return "registering"
    return "overloaded" if beat.overloaded else "ready"


async def _set_drained(store: Store, node_id: str, drained: str) -> list[Any]:
    args: list[Word] = [store.keys.root, store.keys.session_root, node_id, drained]
    return await store.scripts.run("node_drain", [store.keys.node(node_id)], args)


async def _take(store: Store, node_id: str, incarnation: str, reason: str, *, out: int) -> tuple[LostJob, ...]:
    args: list[Word] = [store.keys.root, store.keys.session_root, node_id, incarnation, reason, out, _BATCH]
    lost: list[LostJob] = []
    left = 1
    while left:
        outcome, *rest = await store.scripts.run("node_offline", [store.keys.node(node_id)], args)
        if outcome != "ok":
            break
        left = int(rest[0])
        lost += to_lost(rest[1])
    return tuple(lost)


async def _read(store: Store, ids: list[str]) -> list[NodeRecord]:
    found: list[NodeRecord] = []
    for start in range(0, len(ids), _BATCH):
        part: list[str] = ids[start : start + _BATCH]
        keys = [store.keys.node(node_id) for node_id in part]
        _, *rows = await store.scripts.run("node_read", keys, [store.keys.root])
        found += [to_node(node_id, row[0], to_fields(row[1])) for node_id, row in zip(part, rows, strict=True) if row]
    return found
