"""Pools: the classes of nodes with the same capability, and the pairs they are listed under."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lingua_state.errors import ClassesRefused
from lingua_state.keys import PAIRED, pairing_scope
from lingua_state.models import AUTO, Capability, ClassBounds, Pair, PairSummary, PoolSummary
from lingua_state.wants import Want, read_want, scopes_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingua_state.client import Store
    from lingua_state.multiplexed import Word

#: Pairs that one call lists or takes out, so that a class of 99 x 40 languages holds nobody up.
_PART = 500
#: Nodes of a class that a summary looks at; in a larger class it estimates.
_SAMPLE = 256
#: How long a class without a node stays listed: a node that comes back soon costs nothing.
IDLE_MS = 60_000
#: For what a person declares.
UNBOUNDED = ClassBounds()


async def list_class(store: Store, capability: Capability, node_id: str, bounds: ClassBounds = UNBOUNDED) -> None:
    """List a class under each pair it serves; known pairs cost the same again, so call it only for a new class.

    :param node_id: the node that brings it. :raises ClassesRefused: it would be more than the bounds allow.
    """
    names = _all_names(capability)
    keys = [store.keys.pool_def(capability.pool_id), store.keys.pools_all(), store.keys.node_classes(node_id)]
    for part, last in _parts(names):
        args: list[Word] = [
            store.keys.root, capability.pool_id, capability.canonical(), 1 if last else 0, bounds.total,
            bounds.per_node, bounds.window_ms, *part,
        ]  # fmt: skip
        outcome, *rest = await store.scripts.run("class_list", keys, args)
        if outcome == "classes_full":
            raise ClassesRefused(f"{rest[0]} kinds of nodes are known, and no more may be")
        if outcome == "classes_limited":
            raise ClassesRefused(f"the node changed what it can do too often; it may again in {rest[0]} ms")


async def retire(store: Store, pool_id: str, idle_ms: int = IDLE_MS) -> bool:
    """Take a class that has had no node and no declaration for ``idle_ms`` out of its pairs. False: it is in use."""
    definition = await store.call("HGET", store.keys.pool_def(pool_id), "definition")
    names = _all_names(Capability.read(definition)) if definition else []
    keys = [store.keys.pool_def(pool_id), store.keys.pools_all()]
    # The first part is empty, so that the last one is never the first.
    for stage, part in [("first", names[:0]), *((("last" if last else "next"), part) for part, last in _parts(names))]:
        args: list[Word] = [store.keys.root, pool_id, idle_ms, stage, *part]
        outcome, *_ = await store.scripts.run("class_retire", keys, args)
        if outcome != "ok":
            return False
    return True


async def pools(store: Store) -> list[PoolSummary]:
    """Read every class."""
    found: list[PoolSummary] = []
    step = 20
    while True:
        args: list[Word] = [store.keys.root, len(found), step, _SAMPLE]
        _, *rows = await store.scripts.run("class_read", [store.keys.pools_all()], args)
        found += [_summary(*row) for row in rows]
        if len(rows) < step:
            return sorted({pool.pool_id: pool for pool in found}.values(), key=lambda pool: pool.pool_id)


async def pairs(store: Store) -> list[PairSummary]:
    """Read every pair that is offered or waited for, by name."""
    found: dict[tuple[Pair, str], PairSummary] = {}
    for pool in await pools(store):
        for scope in scopes_of(pool.capability.access):
            for pair in pool.capability.listed_pairs():
                _add(found, pair, scope, classes=1, nodes=pool.nodes, declared=pool.declared, free=pool.free)
    for want, waiting, oldest_wait_ms in await waiting_depths(store):
        read = read_want(want)
        _add(found, read.pair, f"@{read.tenant}" if read.tenant else "", waiting=waiting, oldest_wait_ms=oldest_wait_ms)
    return sorted(found.values(), key=lambda summary: (str(summary.pair), summary.scope))


async def waiting_depths(store: Store, limit: int = 1_000) -> list[tuple[str, int, int]]:
    """Read the queues that have waiters, oldest first: what is wanted, how many wait, how long the first does."""
    seconds, micros = await store.call("TIME")
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    rows = await store.call("ZRANGE", store.keys.waiting_pairs(), 0, limit - 1, "WITHSCORES")
    found = []
    for want, since_ms in _with_scores(rows):
        depth = int(await store.call("ZCARD", store.keys.waiting(want)))
        found.append((want, depth, max(0, now_ms - since_ms)))
    return found


async def offered(
    store: Store,
    pair: Pair,
    *,
    tenant: str = "",
    pairing: str | None = None,
    languages: tuple[str, ...] = (),
    both_ways: bool = False,
) -> bool:
    """Tell whether any class is listed for what would be asked, in a scope the asker may see, its nodes alive or not.

    A pair of source ``auto`` without ``languages`` is also offered where any language to its target is.
    """
    want = Want(pair, tuple(sorted(set(languages))), both_ways, tenant, pairing)
    args: list[Word] = [store.keys.root, store.keys.session_root, str(want)]
    _, classes = await store.scripts.run("class_offered", [store.keys.pools_all()], args)
    if int(classes) or languages or pair.source != AUTO:
        return bool(int(classes))
    visible = {"", *want.scopes}
    return any(_reaches(pool.capability, pair.target, visible) for pool in await pools(store))


def pair_names(capability: Capability) -> list[str]:
    """Name each pair a class is listed under, with its scope; and last its pairing code, by which it is known."""
    scopes = scopes_of(capability.access)
    names = [f"{pair}{scope}" for scope in scopes for pair in capability.listed_pairs()]
    code = capability.access.pairing
    return [*names, f"{PAIRED}{pairing_scope(code)}"] if code else names


def waiting_names(capability: Capability) -> list[str]:
    """Name what a node of a class finds waiters under, beside its pairs (prelude_queues.lua tells the kinds)."""
    listed = set(capability.listed_pairs())
    both = [f"{pair}<" for pair in sorted(listed, key=str) if _is_first_of_both(pair, listed)]
    several = [f"{target}[" for target in sorted({pair.target for pair in listed})]
    return [f"{name}{scope}" for scope in scopes_of(capability.access) for name in (*both, *several)]


def _all_names(capability: Capability) -> list[str]:
    return [*pair_names(capability), *waiting_names(capability)]


def _is_first_of_both(pair: Pair, listed: set[Pair]) -> bool:
    return pair.source < pair.target and Pair(pair.target, pair.source) in listed


def _parts(names: list[str]) -> Iterable[tuple[list[str], bool]]:
    for start in range(0, max(1, len(names)), _PART):
        yield names[start : start + _PART], start + _PART >= len(names)


def _reaches(capability: Capability, target: str, visible: set[str]) -> bool:
    heard = set(capability.asr) - {target}
    return bool(heard) and target in capability.targets and not visible.isdisjoint(scopes_of(capability.access))


def _summary(pool_id: str, definition: str, *numbers: int) -> PoolSummary:
    return PoolSummary(pool_id, Capability.read(definition), *(int(number) for number in numbers))


def _add(found: dict[tuple[Pair, str], PairSummary], pair: Pair, scope: str, **more: int) -> None:
    shown = "#" if scope.startswith("#") else scope.removeprefix("@")
    old = found.get((pair, shown), PairSummary(pair, shown))
    oldest = max(old.oldest_wait_ms, more.pop("oldest_wait_ms", 0))
    sums = {name: getattr(old, name) + value for name, value in more.items()}
    found[pair, shown] = replace(old, oldest_wait_ms=oldest, **sums)


def _with_scores(rows: list[Any]) -> list[tuple[str, int]]:
    if rows and isinstance(rows[0], list):
        return [(name, int(float(score))) for name, score in rows]
    return [(name, int(float(score))) for name, score in zip(rows[::2], rows[1::2], strict=True)]
