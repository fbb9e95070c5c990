"""Do what has come due, by any instance: each thing is done once, whoever comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_state import pools
from lingua_state.models import TERMINAL, Swept
from lingua_state.records import to_assigned_all, to_ended, to_lost

if TYPE_CHECKING:
    from lingua_state.client import Store
    from lingua_state.multiplexed import Word

#: Jobs that one call handles, so that it holds nobody up.
LIMIT = 100
#: How long the owner of a lost job has to decide before the sweep ends it.
GRACE_MS = 5_000
#: Ended jobs that stay listed, of each status, and for how long.
ENDED_COUNT = 10_000
ENDED_MS = 3_600_000
#: What is found so long after it was due was not late by itself: the store's clock jumped, or nobody swept.
LATE_MS = 10_000
#: By the store's clock: any lease that is over.
FOR_EVER_MS = 1 << 52
#: The longest lease that nodes have, by default.
LEASE_MS = 45_000


async def sweep(
    store: Store, *, expire_leases: bool = True, grace_ms: int = GRACE_MS, idle_ms: int = pools.IDLE_MS,
    expire_by_ms: int = FOR_EVER_MS, late_ms: int = LATE_MS, lease_ms: int = LEASE_MS,
) -> Swept:  # fmt: skip
    """End lapsed attempts, waits and lost jobs, take out nodes whose lease is over, let the first of each queue try
    again, and retire a class that has no node for long; at most 100 jobs a call.

    :param expire_leases: False: no node is taken out, as when many leases lapse at once. :param expire_by_ms: only
        those are whose lease was over by then, by the store's clock: the caller may have stood still since it asked.
    :param grace_ms: how long the owner of a job that is lost now has to decide.
    :param late_ms: what is overdue by more, or that much further ahead than it can be, begins its time anew: the
        store's clock jumped, or nobody swept. :param lease_ms: the longest lease that a node has.
    """
    keys = [
        store.keys.jobs_deadline(),
        store.keys.nodes_lease(),
        store.keys.waiting_pairs(),
        store.keys.pools_all(),
        store.keys.notices(),
        *(store.keys.jobs(status) for status in sorted(TERMINAL)),
    ]
    args: list[Word] = [
        store.keys.root, store.keys.session_root, LIMIT, expire_by_ms if expire_leases else 0, grace_ms, ENDED_COUNT,
        ENDED_MS, idle_ms, late_ms, lease_ms,
    ]  # fmt: skip
    _, lost, ended, expired, assigned, idle, more, now_ms = await store.scripts.run("sweep", keys, args)
    for pool_id in idle:
        await pools.retire(store, pool_id, idle_ms)
    return Swept(to_lost(lost), to_ended(ended), tuple(expired), to_assigned_all(assigned), bool(more), int(now_ms))
