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


async def sweep(
    store: Store, *, expire_leases: bool = True, grace_ms: int = GRACE_MS, idle_ms: int = pools.IDLE_MS
) -> Swept:
    """End lapsed attempts, waits and lost jobs, take out nodes whose lease is over, let the first of each queue try
    again, and retire a class that has no node for long; at most 100 jobs a call.

    :param expire_leases: False: no node is taken out, as when many leases lapse at once.
    :param grace_ms: how long the owner of a job that is lost now has to decide.
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
        store.keys.root, store.keys.session_root, LIMIT, 1 if expire_leases else 0, grace_ms, ENDED_COUNT, ENDED_MS,
        idle_ms,
    ]  # fmt: skip
    _, lost, ended, expired, assigned, idle, more = await store.scripts.run("sweep", keys, args)
    for pool_id in idle:
        await pools.retire(store, pool_id, idle_ms)
    return Swept(to_lost(lost), to_ended(ended), tuple(expired), to_assigned_all(assigned), bool(more))
