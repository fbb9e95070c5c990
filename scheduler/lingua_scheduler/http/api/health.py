"""Health and metrics: live never asks the store, ready does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from aiohttp import web

from lingua_scheduler.auth import READ, AuthError
from lingua_scheduler.http.endpoint import Call, Endpoint, Guard, Nothing
from lingua_scheduler.http.models.cluster import FindingView, HealthAnswer, LiveAnswer, ReadyAnswer
from lingua_scheduler.http.problems import ProblemError
from lingua_state import server
from lingua_state.errors import StateError
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from lingua_scheduler.http.port import SchedulerPort

#: How long ready waits for the store: a probe must end before its own limit.
_STORE_TIMEOUT_S = 1.0

_FINDINGS_AGE_S = 30.0


async def live(call: Call[Nothing, None]) -> LiveAnswer:
    """Answer that the process works: its event loop got here."""
    del call
    return LiveAnswer(live=True)


async def ready(call: Call[Nothing, None]) -> ReadyAnswer:
    """Answer whether new work is welcome; 503 when not."""
    if call.scheduler.draining:
        raise ProblemError(ErrorCode.DRAINING)
    if await _ping_ms(call.scheduler) is None or not call.scheduler.store_writable:
        raise ProblemError(ErrorCode.STORE_UNAVAILABLE)
    return ReadyAnswer(ready=True, draining=False, store=True)


async def health(call: Call[Nothing, None]) -> HealthAnswer:
    """Answer everything at once, always 200: for people and dashboards, not for probes."""
    scheduler = call.scheduler
    ping = await _ping_ms(scheduler)
    return HealthAnswer(
        live=True,
        ready=ping is not None and scheduler.store_writable and not scheduler.draining,
        draining=scheduler.draining,
        store=ping is not None,
        store_ping_ms=None if ping is None else round(ping, 2),
        instance_id=scheduler.instance_id,
        version=scheduler.version,
        uptime_s=round(scheduler.uptime_s, 1),
        findings=await call.request.app[FINDINGS].of(scheduler) if ping is not None and await _may_read(call) else [],
    )


async def metrics(call: Call[Nothing, None]) -> web.Response:
    """Answer the metrics of this instance."""
    body, content_type = call.scheduler.metrics.exposition()
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _may_read(call: Call[Nothing, None]) -> bool:
    """Say whether the caller may know what is wrong with the store; probes need no token, this does."""
    try:
        return (await call.scheduler.auth.client(call.request.headers)).may(READ)
    except AuthError:
        return False


async def _ping_ms(scheduler: SchedulerPort) -> float | None:
    try:
        async with asyncio.timeout(_STORE_TIMEOUT_S):
            ping = await server.ping_ms(scheduler.store)
    except (StateError, TimeoutError):
        ping = None
    scheduler.metrics.store_up.set(1 if ping is not None and scheduler.store_writable else 0)
    return ping


class Findings:
    """What is wrong with the store, looked up again only now and then: looking is not free for the store."""

    def __init__(self) -> None:
        self._known: list[FindingView] = []
        self._looked_s = float("-inf")

    async def of(self, scheduler: SchedulerPort) -> list[FindingView]:
        """Return what was found last; looks again when that is old."""
        if time.monotonic() - self._looked_s > _FINDINGS_AGE_S:
            with contextlib.suppress(StateError, TimeoutError):
                async with asyncio.timeout(_STORE_TIMEOUT_S):
                    found = await server.check_server(scheduler.store)
                self._known = [FindingView.model_validate(finding) for finding in found]
                self._looked_s = time.monotonic()
        return self._known


#: The findings of one application.
FINDINGS = web.AppKey("findings", Findings)

_TEXT = {"text/plain": {"type": "string"}}

ENDPOINTS = (
    Endpoint(
        "GET", "/health/live", live, "health", "Whether the process works", guard=Guard.OPEN, answer=LiveAnswer,
        internal=True,
    ),
    Endpoint(
        "GET", "/health/ready", ready, "health", "Whether it takes new work", guard=Guard.OPEN, answer=ReadyAnswer,
        errors=(ErrorCode.DRAINING, ErrorCode.STORE_UNAVAILABLE), internal=True,
    ),
    Endpoint(
        "GET", "/health", health, "health", "Live, ready, and what to look at", guard=Guard.OPEN,
        answer=HealthAnswer, internal=True,
    ),
    Endpoint(
        "GET", "/metrics", metrics, "health", "Prometheus metrics of this instance", guard=Guard.OPEN, media=_TEXT,
        internal=True,
    ),
)  # fmt: skip
