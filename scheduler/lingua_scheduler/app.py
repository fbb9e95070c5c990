"""The life of one scheduler process: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiohttp import ClientSession, ClientTimeout, web

from lingua_scheduler.doorkeeper import Doorkeeper, Entrance
from lingua_scheduler.drain import drain
from lingua_scheduler.handle import HANDLE
from lingua_scheduler.http.port import SCHEDULER
from lingua_scheduler.http.routes import Listener, add_routes
from lingua_scheduler.nodes.socket import serve_node
from lingua_scheduler.nodes.warden import Warden
from lingua_scheduler.peers.hub import PATH
from lingua_scheduler.presence import Presence
from lingua_scheduler.rebalance import Rebalancer
from lingua_scheduler.scheduler import Scheduler
from lingua_scheduler.sessions.socket import serve_session
from lingua_scheduler.sweeper import Sweeper
from lingua_state.client import RedisSettings, open_store
from lingua_state.epoch import ensure_epoch
from lingua_state.errors import StoreUnavailable
from lingua_state.server import check_server

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from lingua_scheduler.settings import SchedulerSettings
    from lingua_scheduler.token_review import TokenReviews
    from lingua_state.client import Store

log = logging.getLogger(__name__)

_ASK_AGAIN_S: Final = 0.5
#: Objects made before the youngest are looked at, and rounds before the next older generation is.
_GC_THRESHOLDS: Final = (20_000, 20, 50)
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_SHUTDOWN_S: Final = 2.0
_FETCH: Final = ClientTimeout(total=5)


class UnfitStoreError(Exception):
    """The store can't be served from; the message says why and what to do, one finding a line."""


class Service:
    """One process: :meth:`start`, then :meth:`stop`. Tests run several in one process."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self.settings = settings
        self.scheduler: Scheduler
        self.url = ""
        self._presence: Presence
        self._runners: list[web.AppRunner] = []
        self._reviews: TokenReviews | None = None
        self._duties: list[asyncio.Task[None]] = []
        self._watches: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the store, check it, and serve.

        :raises UnfitStoreError: the store would lose work. :raises StoreUnavailable: it is not there.
        :raises OSError: the port is taken.
        """
        store = await connect(self.settings)
        try:
            await refuse_unfit(store)
            self.scheduler = Scheduler(self.settings, store, await ensure_epoch(store), fetch)
            for door in self.scheduler.auth.open_doors():
                log.warning("open door: %s" % door)  # noqa: G002, UP031 - templates are logged, arguments are not
            await self._open_reviews()
            port = await self._listen()
            self.url = f"http://{_reachable(self.settings.host)}:{port}"
            self._presence = Presence(self.scheduler, self.settings.peer.address or self._peer_url())
            await self._presence.announce()
        except BaseException:
            await self._clean_up(store)
            raise
        self._duties = [asyncio.create_task(duty) for duty in self._all_duties()]
        log.info("serving", extra={"port": port, "version": self.scheduler.version})

    async def stop(self) -> None:
        """Drain, then stop; bounded by the grace."""
        await drain(self.scheduler, lambda: self._duties.append(asyncio.create_task(self._presence.announce())))
        await self._presence.leave()
        await self.kill()

    async def kill(self) -> None:
        """Stop without a word to anybody, as a crash would, but for closed sockets. Safe to repeat."""
        for duty in self._duties:
            duty.cancel()
        await asyncio.gather(*self._duties, return_exceptions=True)
        self._duties = []
        await self._clean_up(self.scheduler.store)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second one ends the drain at once."""
        await self.start()
        spare_collector()
        asked, again = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, lambda: again.set() if asked.is_set() else asked.set())
        await asked.wait()
        stopping = asyncio.create_task(self.stop())
        hurry = asyncio.create_task(again.wait())
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not stopping.done():
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
            await self.kill()
        else:
            stopping.result()
        for number in _SIGNALS:  # one that comes between here and the end of the process changes nothing any more
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    async def _open_reviews(self) -> None:
        if self.settings.auth.token_review:
            # Importing the client of Kubernetes takes a second and 47 MB.
            from lingua_scheduler.token_review import TokenReviews  # noqa: PLC0415

            self._reviews = await TokenReviews.open()
            self.scheduler.gate.reviews = self._reviews

    async def _listen(self) -> int:
        internal_port = self.settings.http.internal_port
        listener = Listener.PUBLIC if internal_port else Listener.ALL
        port = await self._serve(make_app(self.scheduler, listener), self.settings.port)
        if internal_port:
            self._internal_port = await self._serve(make_app(self.scheduler, Listener.INTERNAL), internal_port)
        return port

    async def _serve(self, app: web.Application, port: int) -> int:
        http = self.settings.http
        doorkeeper = Doorkeeper(http.handshake_ms / 1000, http.connections_per_address, http.forwarded_hops, http.crowd)
        app.middlewares.append(doorkeeper.admit)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        self._runners.append(runner)
        if runner.server is not None:  # it is, after its set-up
            self._watches.append(asyncio.create_task(doorkeeper.watch(runner.server, self.scheduler.admission.look)))
            await Entrance(runner, runner.server, (self.settings.host, port), doorkeeper).start()
        return int(runner.addresses[0][1])

    def _peer_url(self) -> str:
        if not self.settings.http.internal_port:
            return self.url
        return f"http://{_reachable(self.settings.host)}:{self._internal_port}"

    def _all_duties(self) -> list[Coroutine[Any, Any, None]]:
        scheduler = self.scheduler
        sweeper = Sweeper(
            scheduler.store,
            scheduler.carrier,
            scheduler.mailbox,
            scheduler.metrics,
            every_ms=self.settings.instance.sweep_ms,
            lease_ms=self.settings.nodes.lease_ms,
        )
        warden = Warden(scheduler)
        shedding = Rebalancer(scheduler.store, scheduler.instance_id, scheduler.sessions, self.settings.shed)
        return [
            self._presence.run(),
            sweeper.run(),
            warden.run(),
            shedding.run(),
            scheduler.sessions.renew(),
            scheduler.dispatcher.watch(),
        ]

    async def _clean_up(self, store: Store) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        self._runners, self._watches = [], []
        if hasattr(self, "scheduler"):
            await self.scheduler.dispatcher.close()
            await self.scheduler.peers.close()
            await self.scheduler.mailbox.close()
            await self.scheduler.nodes.stop()
            await self.scheduler.sessions.stop()
        if self._reviews is not None:
            await self._reviews.close()
        await store.close()


def spare_collector() -> None:
    """Keep what a start left behind, for good, out of the garbage collector's rounds, and make these rare.

    A whole round over all modules and models stops every session for 0.1 to 0.3 s; over the sessions alone it does not.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def make_app(scheduler: Scheduler, listener: Listener) -> web.Application:
    """Make the application of one port: clients and nodes come to the public one, peers to the internal one."""
    app = web.Application()
    app[HANDLE] = scheduler
    app[SCHEDULER] = scheduler
    if listener is not Listener.INTERNAL:
        app.router.add_get("/ws/session", serve_session)
        app.router.add_get("/ws/node", serve_node)
    if listener is not Listener.PUBLIC:
        app.router.add_get(PATH, scheduler.peers.serve)
    add_routes(app, listener)
    return app


async def connect(settings: SchedulerSettings) -> Store:
    """Open the store; wait for one that is not there yet, as containers start in any order.

    :raises StoreUnavailable: it did not come. :raises ValueError: the address is none.
    """
    wanted = RedisSettings(
        url=settings.redis.address(),
        cell=settings.redis.cell,
        prefix=settings.redis.prefix,
        timeout_ms=settings.redis.timeout_ms,
        retry_budget_ms=settings.redis.retry_budget_ms,
        profile=settings.redis.profile,
        fixed_address=settings.redis.fixed_address,
        replicas=settings.redis.replicas,
        confirm_ms=settings.redis.confirm_ms,
        cut_off_ms=settings.redis.cut_off_ms,
    )
    end = asyncio.get_running_loop().time() + settings.redis.wait_at_start_ms / 1000
    while True:
        try:
            return await open_store(wanted)
        except StoreUnavailable:
            if asyncio.get_running_loop().time() >= end:
                raise
            log.warning("waiting for the store")
            await asyncio.sleep(_ASK_AGAIN_S)


async def refuse_unfit(store: Store) -> None:
    """Look at the server; log what is doubtful.

    :raises UnfitStoreError: something about it would lose work.
    """
    findings = await check_server(store)
    for finding in findings:
        log.warning("store finding", extra={"finding": finding.code})
    errors = [str(finding) for finding in findings if finding.level == "error"]
    if errors:
        raise UnfitStoreError("\n".join(errors))


async def fetch(address: str) -> bytes:
    """Fetch an issuer's keys."""
    async with ClientSession(timeout=_FETCH) as session, session.get(address) as response:
        response.raise_for_status()
        return await response.content.read(1024 * 1024)


def _reachable(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        with suppress(OSError):
            import socket  # noqa: PLC0415 - only here

            return socket.gethostbyname(socket.gethostname())
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
