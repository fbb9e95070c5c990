"""Notices for instances that can't be reached: the store keeps them for a while. A hint and never the only carrier.

What lies there is told of jobs, as instances write it for each other; it never holds audio or text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_state.client import Store

#: How long they are kept: longer than a job waits and runs.
TTL_MS = 90_000
#: How many may lie there for one instance.
LIMIT = 10_000
#: How many are taken at once.
BATCH = 100


async def leave(store: Store, instance_id: str, notices: Sequence[str]) -> int:
    """Leave notices for an instance; returns how many lie there now."""
    key = store.keys.notices_for(instance_id)
    _, depth = await store.scripts.run("leave_notices", [key], [TTL_MS, LIMIT, *notices])
    return int(depth)


async def take(store: Store, instance_id: str) -> list[str]:
    """Take the oldest notices that were left for an instance, at most :data:`BATCH`."""
    found = await store.call("LPOP", store.keys.notices_for(instance_id), BATCH)
    return cast("list[str]", found or [])
