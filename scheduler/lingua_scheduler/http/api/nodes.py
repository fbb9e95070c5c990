"""Nodes: list, look at, take out of selection and back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lingua_scheduler.http.clock import now_ms
from lingua_scheduler.http.endpoint import Call, Endpoint, Guard, Nothing
from lingua_scheduler.http.models.common import PageQuery
from lingua_scheduler.http.models.nodes import NodeAction, NodeDetail, NodePage, NodeView
from lingua_scheduler.http.problems import ProblemError
from lingua_state import known, nodes
from lingua_state.declared import Scheduling
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from lingua_state.models import NodeRecord

log = logging.getLogger(__name__)


async def list_nodes(call: Call[PageQuery, None]) -> NodePage:
    """Answer one page of nodes: those that are connected first, then those that are declared and are not."""
    store = call.scheduler.store
    page = await known.list_known(store, call.query.limit, call.query.cursor)
    now = await now_ms(store)
    return NodePage(now_ms=now, next_cursor=page.cursor, nodes=[NodeView.of(node, now) for node in page.items])


async def get_node(call: Call[Nothing, None]) -> NodeDetail:
    """Answer one node wholly."""
    node = await _find(call)
    return NodeDetail.of(node, await now_ms(call.scheduler.store))


async def drain_node(call: Call[Nothing, None]) -> NodeAction:
    """Give a node nothing new; what it has, it finishes."""
    node = await _find(call)
    if not await nodes.drain(call.scheduler.store, node.node_id):
        raise ProblemError(ErrorCode.NOT_FOUND)
    log.info("node drained by request", extra={"node_id": node.node_id, "side": "http"})
    return await _after(call)


async def undrain_node(call: Call[Nothing, None]) -> NodeAction:
    """Let a drained node have work again; jobs that waited for one start."""
    node = await _find(call)
    if node.scheduling not in ("", Scheduling.ACTIVE):
        raise ProblemError(
            ErrorCode.CONFLICT, f"Its TranslationNode says scheduling: {node.scheduling}. Change it there."
        )
    await call.scheduler.undrain_node(node.node_id)
    log.info("node undrained by request", extra={"node_id": node.node_id, "side": "http"})
    return await _after(call)


async def _find(call: Call[Any, None]) -> NodeRecord:
    node = await known.get_known(call.scheduler.store, call.path_id("node_id"))
    if node is None:
        raise ProblemError(ErrorCode.NOT_FOUND, "There is no such node.")
    return node


async def _after(call: Call[Any, None]) -> NodeAction:
    node = await _find(call)
    return NodeAction(node_id=node.node_id, status=node.status)


ENDPOINTS = (
    Endpoint(
        "GET", "/api/v1/nodes", list_nodes, "nodes", "List the nodes", query=PageQuery, answer=NodePage,
        errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Endpoint(
        "GET", "/api/v1/nodes/{node_id}", get_node, "nodes", "Look at a node", answer=NodeDetail,
        errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Endpoint(
        "POST", "/api/v1/nodes/{node_id}/drain", drain_node, "nodes", "Give a node nothing new",
        guard=Guard.ADMIN, answer=NodeAction, errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Endpoint(
        "POST", "/api/v1/nodes/{node_id}/undrain", undrain_node, "nodes", "Let a drained node have work again",
        guard=Guard.ADMIN, answer=NodeAction, errors=(ErrorCode.STORE_UNAVAILABLE, ErrorCode.CONFLICT),
    ),
)  # fmt: skip
