"""Pools and pairs: what is offered and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lingua_scheduler.auth import READ
from lingua_scheduler.http.clock import now_ms
from lingua_scheduler.http.endpoint import Call, Endpoint, Guard
from lingua_scheduler.http.models.nodes import ListQuery, PairPage, PairQuery, PairSummaryView, PoolPage, PoolView
from lingua_state import pools
from lingua_state.pages import BadCursor
from lingua_wire.codes import ErrorCode
from lingua_wire.ids import normal_language

if TYPE_CHECKING:
    from lingua_state.models import PairSummary

Row = TypeVar("Row")


async def list_pools(call: Call[ListQuery, None]) -> PoolPage:
    """Answer one page of classes."""
    store = call.scheduler.store
    rows, cursor = part(await pools.pools(store), call.query)
    return PoolPage(now_ms=await now_ms(store), next_cursor=cursor, pools=[PoolView.of(row) for row in rows])


async def list_pairs(call: Call[PairQuery, None]) -> PairPage:
    """Answer one page of the pairs the caller may see: those for everybody, its tenant's, and all for a reader."""
    store = call.scheduler.store
    found = [pair for pair in await pools.pairs(store) if _wanted(call, pair)]
    found.sort(key=lambda pair: (-pair.waiting, str(pair.pair), pair.scope))
    rows, cursor = part(found, call.query)
    return PairPage(now_ms=await now_ms(store), next_cursor=cursor, pairs=[PairSummaryView.of(row) for row in rows])


def part(rows: list[Row], query: ListQuery) -> tuple[list[Row], str | None]:
    """Return one page of a list that is made anew for each call; its cursor is a position.

    :raises BadCursor: the cursor is no position.
    """
    if query.cursor is not None and not (query.cursor.isdecimal() and len(query.cursor) < 10):
        raise BadCursor
    start = int(query.cursor or 0)
    end = start + query.limit
    return rows[start:end], str(end) if end < len(rows) else None


def _wanted(call: Call[PairQuery, None], row: PairSummary) -> bool:
    query, identity = call.query, call.identity
    if query.src and row.pair.source != normal_language(query.src):
        return False
    if query.tgt and row.pair.target != normal_language(query.tgt):
        return False
    return not row.scope or row.scope == identity.tenant or identity.may(READ)


ENDPOINTS = (
    Endpoint(
        "GET", "/api/v1/pools", list_pools, "pools", "List the classes of nodes", query=ListQuery, answer=PoolPage,
        errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Endpoint(
        "GET", "/api/v1/pairs", list_pairs, "pools", "List the language pairs that are offered",
        guard=Guard.TOKEN, query=PairQuery, answer=PairPage, errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
)  # fmt: skip
