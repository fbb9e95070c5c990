"""Time every script call of a store into the metrics."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lingua_state.runner import Scripts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_scheduler.metrics import Metrics
    from lingua_state.client import Store
    from lingua_state.multiplexed import Word


class TimedScripts(Scripts):
    """The scripts, each call timed with its retries: what the caller waited."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        super().__init__(store.policy)
        self._seconds = metrics.script_seconds

    async def run(
        self, name: str, keys: Sequence[str], args: Sequence[Word] = (), *, surely: bool = False
    ) -> list[Any]:
        """Run a script as :meth:`Scripts.run` does."""
        began_s = time.perf_counter()
        try:
            return await super().run(name, keys, args, surely=surely)
        finally:
            self._seconds.of(name).observe(time.perf_counter() - began_s)


def timed(store: Store, metrics: Metrics) -> Store:
    """Return the same store with its scripts timed; closing either closes both."""
    return replace(store, scripts=TimedScripts(store, metrics))
