"""The sweep of one instance, whose store goes away and comes back: nobody loses a lease for that."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually
from kit.proxy import proxy_to
from kit.redis_servers import VALKEY, start_server
from kit.state import age_lease, due_now, join, want
from lingua_scheduler.carrier import Carrier
from lingua_scheduler.mailbox import Mailbox
from lingua_scheduler.metrics import Metrics
from lingua_scheduler.sweeper import Sweeper
from lingua_state import dispatch, jobs, nodes
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.models import JobStatus, NodeStatus, Pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kit.proxy import Proxy
    from kit.redis_servers import Server
    from lingua_scheduler.work import Delivery, Notice, Recall, Refusal, Said

LEASE_MS = 15_000
#: The clock of these tests jumps, which is no standing still.
NEVER_MS = 10**9
NOBODY_SPEAKS = Pair("xx", "yy")


class Nobody:
    """Owns no jobs, holds no nodes, reaches no other instance."""

    def on_said(self, said: Said) -> None: ...

    def on_refusal(self, refusal: Refusal) -> None: ...

    def on_notice(self, notice: Notice) -> None: ...

    def deliver(self, delivery: Delivery) -> str | None: ...

    def recall(self, recall: Recall) -> None: ...

    def send(self, instance_id: str, item: object) -> bool:
        del instance_id, item
        return False

    def unreachable(self) -> tuple[str, ...]:
        return ()


class Clock:
    """The sweeper's clock, moved by hand."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = start_server(VALKEY, tmp_path_factory.mktemp("sweeper"))
    yield started
    started.process.stop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("lingua_scheduler.sweeper.now_ms", made)
    return made


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    """The store as the test itself reaches it, at any time."""
    server.flush()
    opened = await open_store(RedisSettings(url=server.url))
    yield opened
    await opened.close()


@asynccontextmanager
async def sweeping(proxy: Proxy) -> AsyncIterator[Metrics]:
    """Let a sweeper work that reaches the store through a proxy."""
    carrier, metrics, nobody = Carrier("s1"), Metrics(), Nobody()
    carrier.connect(nobody, nobody, nobody)
    settings = RedisSettings(url=f"redis://127.0.0.1:{proxy.port}", timeout_ms=1_000, retry_budget_ms=1_000)
    its_own = await open_store(settings)
    mailbox = Mailbox(its_own, carrier, metrics)
    sweeper = Sweeper(its_own, carrier, mailbox, metrics, every_ms=10, lease_ms=LEASE_MS, still_ms=NEVER_MS)
    task = asyncio.create_task(sweeper.run())
    try:
        yield metrics
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await its_own.close()


async def swept(store: Store) -> None:
    """Return when a sweep that began after this call has ended."""
    waiting = await dispatch.dispatch(store, want(pair=NOBODY_SPEAKS))
    await due_now(store, waiting.job_id)

    async def ended() -> bool:
        record = await jobs.get(store, waiting.job_id)
        return record is not None and record.status is JobStatus.FAILED

    await eventually(ended, what="a sweep")


async def is_out(store: Store, node_id: str) -> bool:
    node = await nodes.get(store, node_id)
    return node is None or node.status is NodeStatus.OFFLINE


async def lapse(store: Store, node_id: str) -> None:
    await join(store, node_id)
    await age_lease(store, node_id)


async def is_out_a_lease_later(store: Store, clock: Clock, node_id: str) -> None:
    """Let one lease after the other pass, since a sweep that a busy machine held up begins a new one."""

    async def is_out_now() -> bool:
        clock.now_ms += LEASE_MS
        await swept(store)
        return await is_out(store, node_id)

    await eventually(is_out_now, what=f"{node_id} is out")


async def test_no_lease_is_ended_before_a_whole_one_since_the_sweeper_began(
    server: Server, store: Store, clock: Clock
) -> None:
    async with proxy_to(server.process.port) as proxy, sweeping(proxy):
        await lapse(store, "n1")
        await swept(store)
        assert not await is_out(store, "n1")
        await is_out_a_lease_later(store, clock, "n1")


async def test_no_lease_is_ended_before_a_whole_one_since_the_store_came_back(
    server: Server, store: Store, clock: Clock
) -> None:
    async with proxy_to(server.process.port) as proxy, sweeping(proxy) as metrics:
        await lapse(store, "n1")
        await is_out_a_lease_later(store, clock, "n1")
        errors = metrics.store_errors.of("store_unavailable")._value
        before = errors.get()
        proxy.hole = True
        await eventually(lambda: errors.get() > before, what="the store is away")
        assert proxy.held > 0
        await lapse(store, "n1")
        proxy.hole = False
        proxy.cut()
        await swept(store)
        assert not await is_out(store, "n1")
        await is_out_a_lease_later(store, clock, "n1")
