"""Look after the nodes that wait for running jobs: one read for all of them, each second."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lingua_operator import statuses
from lingua_operator.reconcile import ends_at
from lingua_state import declarations
from lingua_state.errors import StateError

if TYPE_CHECKING:
    from lingua_operator.context import Context

log = logging.getLogger(__name__)

_EVERY_S = 1.0


async def watch_drains(context: Context) -> None:
    """Reconcile each draining node when its last job ended or its deadline passed, until cancelled."""
    while True:
        context.metrics.drains.set(len(context.draining))
        try:
            await look(context)
        except Exception:  # whatever one node ran into: no drain would ever end
            log.exception("looking after drains failed")
        await asyncio.sleep(_EVERY_S)


async def look(context: Context) -> None:
    """Look once."""
    nodes = [node for key in list(context.draining) if (node := context.known.get(key))]
    context.draining &= {node.key for node in nodes}
    if not nodes or context.store_trouble:
        return
    try:
        found = await declarations.live(context.store, [node.node_id for node in nodes])
    except StateError:
        context.changed.set()
        return
    now = datetime.now(UTC)
    over = []
    for node in nodes:
        live, end = found.get(node.node_id), ends_at(node, now)
        if live is None or not live.connected or live.load <= 0 or (end is not None and now >= end):
            over.append(node)
    await statuses.settle_all(context, over)
