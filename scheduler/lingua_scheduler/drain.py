"""A planned stop: nothing new, everybody told, what was spoken still translated, all within the grace."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from lingua_wire.codes import CloseCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_scheduler.scheduler import Scheduler

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.02
#: Kept back from the grace for closing sockets and saying goodbye.
_CLOSING_S: Final = 3.0


async def drain(scheduler: Scheduler, announce: Callable[[], object]) -> None:
    """Bring the instance to its end; returns when no socket needs it any more, or the grace is over."""
    scheduler.draining = True
    announce()
    grace_s = scheduler.settings.drain.grace_ms / 1000
    end_s = time.monotonic() + max(0.0, grace_s - min(_CLOSING_S, grace_s / 2))
    log.info("draining", extra={"sessions": len(scheduler.sessions), "nodes": len(scheduler.nodes)})
    scheduler.sessions.drain(round(1000 * (end_s - time.monotonic())))
    await _until(lambda: scheduler.sessions.unsettled + len(scheduler.dispatcher) + len(scheduler.moving) == 0, end_s)
    scheduler.moving.give_up()
    await scheduler.nodes.drain()
    await _until(lambda: scheduler.nodes.busy() == 0, end_s)
    await scheduler.sessions.close_all()
    scheduler.sessions.leave()
    await scheduler.nodes.close(CloseCode.RESTART)
    await _until(lambda: scheduler.sessions.connected + len(scheduler.nodes) == 0, time.monotonic() + _CLOSING_S / 2)
    log.info("drained", extra={"sessions": len(scheduler.sessions), "nodes": len(scheduler.nodes)})


async def _until(done: Callable[[], bool], end_s: float) -> None:
    while not done() and time.monotonic() < end_s:  # noqa: ASYNC110 - several things count, none has an event
        await asyncio.sleep(_LOOK_S)
