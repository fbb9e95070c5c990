"""What instances leave behind that died: jobs on nodes of this one, and outcomes that sessions here wait for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lingua_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Collection

    from lingua_scheduler.scheduler import Scheduler

log = logging.getLogger(__name__)


class Living:
    """Which instances live, as the store tells it at each look; pure.

    One is gone when it was missing at each look for ``missing_ms``. A store that was away, or lost its past, proves
    nothing before every instance had the time to announce itself again (``settle_ms``).
    """

    def __init__(self, missing_ms: int, settle_ms: int) -> None:
        self._missing_ms = missing_ms
        self._settle_ms = settle_ms
        self._missing_since: dict[str, int] = {}
        self._quiet_until_ms = 0

    def unsettled(self, now_ms: int) -> None:
        """Note that the store was away, or began anew."""
        self._missing_since.clear()
        self._quiet_until_ms = now_ms + self._settle_ms

    def gone(self, living: Collection[str], named: Collection[str], now_ms: int) -> set[str]:
        """Tell which of the instances ``named`` are gone."""
        missing = set(named).difference(living)
        self._missing_since = {name: self._missing_since.get(name, now_ms) for name in missing}
        if now_ms < self._quiet_until_ms:
            return set()
        return {name for name, since in self._missing_since.items() if now_ms - since >= self._missing_ms}


class Orphans:
    """Takes up what is left."""

    def __init__(self, scheduler: Scheduler, living: Living) -> None:
        self._scheduler = scheduler
        self.living = living

    def named(self) -> set[str]:
        """Name the other instances on which something here depends."""
        nodes, moving = self._scheduler.nodes, self._scheduler.moving
        owners = {job.delivery.owner for link, _ in nodes.members() for job in link.work.all()}
        return (owners | moving.helpers()) - {self._scheduler.instance_id}

    async def take_up(self, gone: set[str]) -> None:
        """Free the nodes of jobs that nobody waits for, and ask clients again for what was under way elsewhere."""
        self._scheduler.moving.gone(gone)
        for link, _ in self._scheduler.nodes.members():
            for job in [job for job in link.work.all() if job.delivery.owner in gone]:
                job_id, attempt_id = job.delivery.job_id, job.delivery.attempt_id
                log.info("a job of a dead instance ends", extra={"job_id": job_id, "peer": job.delivery.owner})
                link.recall(job_id, attempt_id, "owner_gone")
                try:
                    await self._scheduler.dispatcher.end_unowned(job_id)
                except StateError as error:  # its deadline in the store ends it
                    self._scheduler.metrics.store_errors.of(error.code).inc()
