"""Move sessions to instances that have fewer: new instances get no old connections by themselves."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from lingua_state import instances
from lingua_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_scheduler.sessions.hub import SessionHub
    from lingua_scheduler.settings import ShedSettings
    from lingua_state.client import Store

ROUND_S: Final = 5.0


def to_shed(own: int, others: Sequence[int], rules: ShedSettings, budget: int) -> int:
    """Tell how many sessions to move now.

    :param others: the sessions of each other instance that takes new ones.
    :param budget: how many may move now, whatever the imbalance.
    """
    if not others or own <= rules.at_least:
        return 0
    mean = (own + sum(others)) / (1 + len(others))
    if own <= rules.above_mean * mean:
        return 0
    return min(budget, int(own - mean))


class Rebalancer:
    """Asks clients to connect again while this instance has far more sessions than the mean."""

    def __init__(self, store: Store, instance_id: str, sessions: SessionHub, rules: ShedSettings) -> None:
        self._store = store
        self._instance_id = instance_id
        self._sessions = sessions
        self._rules = rules
        self._budget = 0.0

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.sleep(ROUND_S * random.uniform(0.9, 1.1))
            if self._rules.per_minute:
                await self.look_once(self._rules.per_minute * ROUND_S / 60)

    async def look_once(self, allowance: float) -> int:
        """Move what there is too much of, bounded; return how many were asked."""
        self._budget = min(self._rules.per_minute, self._budget + allowance)
        try:
            living = await instances.live(self._store)
        except StateError:
            return 0
        others = [each.sessions for each in living if each.instance_id != self._instance_id and not each.draining]
        count = self._sessions.shed(to_shed(self._sessions.connected, others, self._rules, int(self._budget)))
        self._budget -= count
        return count
