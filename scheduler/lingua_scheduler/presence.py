"""This instance among the others: says that it lives, and notices when the store lost its past."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from lingua_scheduler.clock import now_ms
from lingua_scheduler.orphans import Living, Orphans
from lingua_state import instances, pools
from lingua_state.epoch import ensure_epoch
from lingua_state.errors import StateError

if TYPE_CHECKING:
    from lingua_scheduler.scheduler import Scheduler

log = logging.getLogger(__name__)

#: The figures of the whole cell are read at each of so many rounds.
_FIGURES_EVERY = 3
#: The way to an instance that is gone is forgotten when it was not used for so long.
_FORGOTTEN_MS = 120_000


class Presence:
    """Announces the instance. ``address`` is where peers reach it."""

    def __init__(self, scheduler: Scheduler, address: str) -> None:
        self._scheduler = scheduler
        self.address = address
        self._round = 0
        settings = scheduler.settings.instance
        self._orphans = Orphans(scheduler, Living(settings.announce_ms * 5 // 2, settings.ttl_ms))

    async def run(self) -> None:
        """Announce, for ever."""
        pause_s = self._scheduler.settings.instance.announce_ms / 1000
        while True:
            await asyncio.sleep(pause_s * random.uniform(0.9, 1.1))
            await self.announce()

    async def announce(self) -> None:
        """Say once that the instance lives; trouble of the store is counted, never raised."""
        scheduler = self._scheduler
        try:
            await self._say()
            await self._check_epoch()
            await self._read_figures()
            await self._look_for_orphans()
        except StateError as error:
            scheduler.store_writable = False
            self._orphans.living.unsettled(now_ms())
            scheduler.metrics.store_up.set(0)
            scheduler.metrics.store_errors.of(error.code).inc()
            log.warning("the store does not answer", extra={"code": error.code})
        except Exception:
            log.exception("an announcement failed")
        else:
            scheduler.store_writable = True
            scheduler.metrics.store_up.set(1)

    async def leave(self) -> None:
        """Say that the instance is gone."""
        try:
            await instances.leave(self._scheduler.store, self._scheduler.instance_id)
        except StateError:
            log.info("the store was away at the end; the record lapses by itself")

    async def _say(self) -> None:
        scheduler = self._scheduler
        await instances.announce(
            scheduler.store,
            instance_id=scheduler.instance_id,
            address=self.address,
            version=scheduler.version,
            sessions=len(scheduler.sessions),
            nodes=len(scheduler.nodes),
            draining=scheduler.draining,
            ttl_ms=scheduler.settings.instance.ttl_ms,
        )

    async def _check_epoch(self) -> None:
        epoch = await ensure_epoch(self._scheduler.store)
        if epoch != self._scheduler.epoch:
            log.warning("the store lost its past; telling it again what lives here")
            self._orphans.living.unsettled(now_ms())
            await self._scheduler.reassert(epoch)

    async def _look_for_orphans(self) -> None:
        named = self._orphans.named()
        if not named:
            return
        living = {each.instance_id for each in await instances.live(self._scheduler.store)}
        gone = self._orphans.living.gone(living, named, now_ms())
        if gone:
            await self._orphans.take_up(gone)

    async def _read_figures(self) -> None:
        self._round += 1
        if self._round % _FIGURES_EVERY == 0:
            depths = await pools.waiting_depths(self._scheduler.store)
            self._scheduler.metrics.waiting_jobs.set(sum(depth for _, depth, _ in depths))
            oldest_ms = max((oldest for _, _, oldest in depths), default=0)
            self._scheduler.metrics.oldest_wait_seconds.set(oldest_ms / 1000)
            living = {one.instance_id for one in await instances.live(self._scheduler.store)}
            self._scheduler.peers.forget(living, idle_since_ms=now_ms() - _FORGOTTEN_MS)
