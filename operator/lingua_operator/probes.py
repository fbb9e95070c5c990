"""Probes and metrics for Kubernetes and Prometheus. Liveness is tied to the watch streams, never to the store."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from lingua_operator.metrics import Metrics
    from lingua_operator.settings import HttpSettings
    from lingua_operator.watched import WatchProgress


class Health:
    """What the probes tell. ``working``: this operator leads; else it stands by, which is well too."""

    def __init__(self, progress: WatchProgress, stale_ms: int) -> None:
        self._progress = progress
        self._stale_s = stale_ms / 1000
        self.working = False
        #: The API server was reached, and the resources were listed or another operator leads.
        self.ready = False

    def alive(self) -> str:
        """Say why the process should be started again; empty: it is well."""
        if self.working and self._progress.age_s > self._stale_s:
            return f"no watch stream made progress for {self._progress.age_s:.0f} s"
        return ""


@asynccontextmanager
async def serve(
    settings: HttpSettings,
    health: Health,
    metrics: Metrics,
    refresh: Callable[[], None],
    more: Sequence[web.RouteDef] = (),
) -> AsyncIterator[int]:
    """Answer /healthz, /readyz, /metrics and ``more``; give the port. ``refresh`` brings gauges up to date before a
    scrape."""

    async def healthz(_: web.Request) -> web.Response:
        trouble = health.alive()
        return web.Response(text=trouble or "ok", status=503 if trouble else 200)

    async def readyz(_: web.Request) -> web.Response:
        text = ("working" if health.working else "standing by") if health.ready else "starting"
        return web.Response(text=text, status=200 if health.ready else 503)

    async def scrape(_: web.Request) -> web.Response:
        refresh()
        body, content_type = metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scrape), *more])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
