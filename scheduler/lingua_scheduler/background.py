"""Steps that go on by themselves: kept until they end, counted when they fail, stopped together."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from lingua_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from lingua_scheduler.metrics import Metrics

log = logging.getLogger(__name__)


class Background:
    """The running steps of one part of the scheduler."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, step: Coroutine[Any, Any, None]) -> None:
        """Begin a step. Trouble of the store is counted; any other failure is a fault, and logged."""
        task = asyncio.get_running_loop().create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def stop(self, patience_s: float = 0.0) -> None:
        """Wait for the steps that go on, bounded, then cancel the rest."""
        if self._tasks and patience_s:
            await asyncio.wait(self._tasks, timeout=patience_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, StateError):
            self._metrics.store_errors.of(error.code).inc()
        else:
            log.error("a background step failed", exc_info=error)
