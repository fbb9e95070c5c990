"""The life of one operator: connect, answer probes, wait for the Lease if there is one, work, stop.

Working is kopf with our handlers, and beside it the resync and the watch over drains. When either ends, all ends: an
operator that only half works is worse than one that is started again.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

import kopf
from aiohttp import web

from lingua_operator import __version__, cluster, probes, statuses
from lingua_operator.cluster import ClusterError, Expired, NotFound
from lingua_operator.context import Context
from lingua_operator.credentials import Secrets
from lingua_operator.drains import watch_drains
from lingua_operator.farewell import leave
from lingua_operator.fleets.controller import Fleets
from lingua_operator.fleets.figures import Figures
from lingua_operator.fleets.roster import Roster
from lingua_operator.handlers import register_fleets, register_nodes, register_pods
from lingua_operator.kopf_settings import kopf_settings
from lingua_operator.metrics import Metrics
from lingua_operator.mirror import Mirror
from lingua_operator.pod_keeper import PodKeeper
from lingua_operator.resync import Resync
from lingua_operator.watched import WatchProgress
from lingua_state.client import RedisSettings, make_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from lingua_operator.settings import OperatorSettings, RedisGroup
    from lingua_state.client import Store

log = logging.getLogger(__name__)

_INSTALL_PAUSE_S = 3.0
#: What KEDA's metrics-api scaler reads.
_DEMAND = "/fleets/{namespace}/{name}/demand"


class Operator:
    """One operator. :meth:`run` it once; :meth:`stop` it from anywhere in its loop."""

    def __init__(self, settings: OperatorSettings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self.metrics = Metrics(__version__)
        self.progress = WatchProgress(self.metrics)
        self.health = probes.Health(self.progress, settings.watch.stale_ms)
        self.context: Context | None = None
        self.figures: Figures | None = None
        #: Where probes and metrics are answered, once they are.
        self.port = 0

    def stop(self) -> None:
        """End it soon: what is being done is finished or left to the next operator."""
        self._stop.set()

    async def run(self) -> None:
        """Work until stopped.

        :raises ClusterError: there is no API server. :raises OSError: the port is taken.
        :raises Exception: a part ended that must not end.
        """
        async with AsyncExitStack() as stack:
            api = await cluster.connect(self._settings.kubernetes)
            stack.push_async_callback(api.close)
            self.port = await stack.enter_async_context(
                probes.serve(
                    self._settings.http, self.health, self.metrics, self._refresh, [web.get(_DEMAND, self._demand)]
                )
            )
            log.info("probes are answered", extra={"port": self.port})
            await self._until_stopped(self._lead(api, stack))
            if self.context is not None:
                await leave(self.context)

    async def _lead(self, api: cluster.Cluster, stack: AsyncExitStack) -> None:
        if not self._settings.standby.enabled:
            await self._work(api, stack)
            return
        self.health.ready = True
        identity = self._settings.standby.identity or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        await api.lead(self._settings.standby, identity, lambda: self._work(api, stack))

    async def _work(self, api: cluster.Cluster, stack: AsyncExitStack) -> None:
        """Do the work of an operator until something ends it."""
        store = store_of(self._settings.redis)
        stack.push_async_callback(store.close)
        context = self.context = Context(self._settings, api, store, Secrets(api), self.metrics)
        resync = Resync(context)
        keeper = context.pods = PodKeeper(api, self._settings, context.wake)
        figures = self.figures = Figures(context, Roster(context.known))
        fleets = Fleets(context, figures)
        context.touched = fleets.touched
        await _patiently(resync.list_resources)
        await _patiently(keeper.list_pods)
        await _patiently(fleets.list_fleets)
        self.progress.restart()
        self.health.working = self.health.ready = True
        self.metrics.leading.set(1)
        log.info("the operator works", extra={"count": len(context.known), "version": __version__})
        try:
            await _first_end(
                self._kopf(api, context, keeper, fleets),
                keeper.run(),
                fleets.run(),
                figures.run(),
                resync.run(),
                watch_drains(context),
                *([Mirror(context).run()] if self._settings.admission == "mirror" else []),
            )
        finally:
            self.health.working = False
            self.metrics.leading.set(0)

    async def _kopf(self, api: cluster.Cluster, context: Context, keeper: PodKeeper, fleets: Fleets) -> None:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - kopf's
            session = api.session([self.progress.trace()], self.progress.response_class())
            return kopf.AiohttpSession(server=api.server, aiohttp_session=session, default_namespace=api.namespace)

        register_nodes(registry, context)
        register_pods(registry, keeper)
        register_fleets(registry, fleets)
        namespaces = self._settings.namespace_list()
        await kopf.operator(
            registry=registry,
            settings=kopf_settings(self._settings),
            standalone=True,
            # Left to itself kopf asks for the user's name, and a pod's user has none.
            identity=cast("Any", socket.gethostname()),
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=self._stop,
        )

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)
        task = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._stop.is_set():
            task.cancel()
        await asyncio.gather(task, return_exceptions=self._stop.is_set())

    async def _demand(self, request: web.Request) -> web.Response:
        if self.figures is None:
            return web.json_response({"error": "this operator does not work yet, or stands by"}, status=503)
        return await self.figures.answer(request)

    def _refresh(self) -> None:
        """Bring the gauges up to date for a scrape."""
        self.metrics.watch_age.set(self.progress.age_s if self.health.working else 0)
        counts: dict[str, int] = {}
        for node in self.context.known if self.context else ():
            reason = statuses.ready_reason(node)
            counts[reason] = counts.get(reason, 0) + 1
        self.metrics.nodes.clear()
        for reason, count in counts.items():
            self.metrics.nodes.labels(reason).set(count)


def store_of(redis: RedisGroup) -> Store:
    """Make the store's handle; that the store is away at the start is like any other time that it is.

    :raises ValueError: the URL or the cell is not well formed.
    """
    return make_store(
        RedisSettings(
            url=redis.address(),
            cell=redis.cell,
            prefix=redis.prefix,
            timeout_ms=redis.timeout_ms,
            retry_budget_ms=redis.retry_budget_ms,
            client_name="lingua-operator",
        )
    )


async def _patiently(read: Callable[[], Awaitable[object]]) -> None:
    """Do a first reading, waiting for the definitions and for an API server that is in trouble: charts and control
    planes come up in any order.

    :raises Forbidden: our role lacks a right.
    """
    while True:
        try:
            await read()
        except ClusterError as error:
            if not error.passing and not isinstance(error, NotFound | Expired):
                raise
            log.warning(
                "not there yet; install the CRDs if this stays", extra={"status": error.status, "kind": "definitions"}
            )
            await asyncio.sleep(_INSTALL_PAUSE_S)
        else:
            return


async def _first_end(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all; when one ends, end the others and tell what it ended with."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error
