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

from lingua_operator import __version__, cluster, probes, statuses
from lingua_operator.context import Context
from lingua_operator.credentials import Secrets
from lingua_operator.drains import watch_drains
from lingua_operator.handlers import register_nodes, register_pods
from lingua_operator.kopf_settings import kopf_settings
from lingua_operator.metrics import Metrics
from lingua_operator.pod_keeper import PodKeeper
from lingua_operator.resync import Resync
from lingua_operator.watched import WatchProgress
from lingua_state.client import RedisSettings, open_store
from lingua_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from lingua_operator.settings import OperatorSettings, RedisGroup
    from lingua_state.client import Store

log = logging.getLogger(__name__)

_STORE_PAUSE_S = 2.0


class Operator:
    """One operator. :meth:`run` it once; :meth:`stop` it from anywhere in its loop."""

    def __init__(self, settings: OperatorSettings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self.metrics = Metrics(__version__)
        self.progress = WatchProgress(self.metrics)
        self.health = probes.Health(self.progress, settings.watch.stale_ms)
        self.context: Context | None = None
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
                probes.serve(self._settings.http, self.health, self.metrics, self._refresh)
            )
            log.info("probes are answered", extra={"port": self.port})
            await self._until_stopped(self._lead(api, stack))

    async def _lead(self, api: cluster.Cluster, stack: AsyncExitStack) -> None:
        if not self._settings.standby.enabled:
            await self._work(api, stack)
            return
        self.health.ready = True
        identity = self._settings.standby.identity or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        await api.lead(self._settings.standby, identity, lambda: self._work(api, stack))

    async def _work(self, api: cluster.Cluster, stack: AsyncExitStack) -> None:
        """Do the work of an operator until something ends it."""
        store = await open_patiently(self._settings.redis)
        stack.push_async_callback(store.close)
        context = self.context = Context(self._settings, api, store, Secrets(api), self.metrics)
        resync = Resync(context)
        keeper = context.pods = PodKeeper(api, self._settings, context.wake)
        await resync.list_resources()
        await keeper.list_pods()
        self.progress.restart()
        self.health.working = self.health.ready = True
        self.metrics.leading.set(1)
        log.info("the operator works", extra={"count": len(context.known), "version": __version__})
        try:
            await _first_end(
                self._kopf(api, context, keeper),
                keeper.run(),
                resync.run(),
                watch_drains(context),
            )
        finally:
            self.health.working = False
            self.metrics.leading.set(0)

    async def _kopf(self, api: cluster.Cluster, context: Context, keeper: PodKeeper) -> None:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - kopf's
            session = api.session([self.progress.trace()], self.progress.response_class())
            return kopf.AiohttpSession(server=api.server, aiohttp_session=session, default_namespace=api.namespace)

        register_nodes(registry, context)
        register_pods(registry, keeper)
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


async def open_patiently(redis: RedisGroup) -> Store:
    """Open the store, waiting as long as it takes: containers start in any order.

    :raises ValueError: the URL or the cell is not well formed.
    """
    settings = RedisSettings(
        url=redis.url.get_secret_value(),
        cell=redis.cell,
        prefix=redis.prefix,
        timeout_ms=redis.timeout_ms,
        retry_budget_ms=redis.retry_budget_ms,
        client_name="lingua-operator",
    )
    while True:
        try:
            return await open_store(settings)
        except StateError as error:
            log.warning("the store is not there yet", extra={"code": error.code})
            await asyncio.sleep(_STORE_PAUSE_S)


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
