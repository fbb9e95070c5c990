"""Find what has come due in the store, and tell the owners. Every instance does it; each thing is done once.

With it comes what others left there for this instance, since they could not reach it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from lingua_scheduler.clock import now_ms
from lingua_state.errors import StateError
from lingua_state.sweep import sweep

if TYPE_CHECKING:
    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.mailbox import Mailbox
    from lingua_scheduler.metrics import Metrics
    from lingua_state.client import Store

log = logging.getLogger(__name__)

#: So late, an instance did not just have much to do. The shortest heartbeat is as long.
STILL_MS: Final = 5_000


class Sweeper:
    """Sweep every ``every_ms``, with jitter so that instances do not all come at once.

    A store that was away has no heartbeats of that time: no node's lease is ended until ``lease_ms`` after it is back.
    The same holds when this instance stood still for ``still_ms``: what its nodes said lies unread in their sockets.
    """

    def __init__(
        self,
        store: Store,
        carrier: Carrier,
        mailbox: Mailbox,
        metrics: Metrics,
        *,
        every_ms: int,
        lease_ms: int,
        still_ms: int = STILL_MS,
    ) -> None:
        self._store = store
        self._carrier = carrier
        self._mailbox = mailbox
        self._metrics = metrics
        self._every_ms = every_ms
        self._lease_ms = lease_ms
        self._still_ms = still_ms
        #: The store's clock at the last sweep: one that goes out after this instance stood still was meant for then.
        self._store_ms = 0
        self._spare_until_ms = now_ms() + lease_ms
        self._last_ms = now_ms()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._every_ms * random.uniform(0.5, 1.5) / 1000)
            self._look_back()
            try:
                while await self._once():
                    pass
                await self._mailbox.take()
            except StateError as error:
                self._spare_until_ms = now_ms() + self._lease_ms
                self._metrics.store_errors.of(error.code).inc()
            except Exception:  # whatever one notice ran into: no sweep would ever follow
                log.exception("a sweep failed")

    def _look_back(self) -> None:
        """Notice that the last round was too long ago."""
        now, last, self._last_ms = now_ms(), self._last_ms, now_ms()
        if now - last >= 1.5 * self._every_ms + self._still_ms:
            self._spare_until_ms = now + self._lease_ms
            log.warning("stood still", extra={"duration_ms": now - last})

    async def _once(self) -> bool:
        """Sweep once; True: there is more."""
        spared, by_ms = now_ms() < self._spare_until_ms, self._store_ms + self._still_ms
        swept = await sweep(self._store, expire_leases=not spared, expire_by_ms=by_ms, lease_ms=self._lease_ms)
        self._store_ms = swept.now_ms
        self._carrier.tell([*swept.lost, *swept.ended, *swept.assigned])
        for node_id in swept.expired_nodes:
            log.warning("node lost: no heartbeat within its lease", extra={"node_id": node_id})
        return swept.more
