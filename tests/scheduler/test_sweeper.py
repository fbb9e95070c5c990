"""The sweep of one instance: it ends the leases of silent nodes, but not of those that it could not hear itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import redis

from kit.eventually import eventually
from kit.redis_servers import VALKEY, start_server
from kit.state import join
from lingua_scheduler.carrier import Carrier
from lingua_scheduler.mailbox import Mailbox
from lingua_scheduler.metrics import Metrics
from lingua_scheduler.sweeper import Sweeper
from lingua_state import nodes
from lingua_state.client import RedisSettings, open_store
from lingua_state.models import NodeStatus
from lingua_state.runner import Scripts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from lingua_state.client import Store
    from lingua_state.multiplexed import Word

_EVERY_MS, _STILL_MS, _LEASE_MS = 20, 200, 3_000


class Sweeps(Scripts):
    """The scripts, and word of each that came back: then no other one is under way."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.policy)
        self.back = asyncio.Event()

    async def run(
        self, name: str, keys: Sequence[str], args: Sequence[Word] = (), *, surely: bool = False
    ) -> list[Any]:
        answer = await super().run(name, keys, args, surely=surely)
        self.back.set()
        return answer


async def is_out(store: Store) -> bool:
    node = await nodes.get(store, "n1")
    return node is not None and node.status is NodeStatus.OFFLINE


async def test_leases_that_lapsed_while_the_instance_stood_still_get_time_for_what_lies_unread(tmp_path: Path) -> None:
    server = start_server(VALKEY, tmp_path)
    store = await open_store(RedisSettings(url=server.url))
    sweeps, carrier, metrics = Sweeps(store), Carrier("s1"), Metrics()
    sweeper = Sweeper(
        replace(store, scripts=sweeps),
        carrier,
        Mailbox(store, carrier, metrics),
        metrics,
        every_ms=_EVERY_MS,
        lease_ms=_LEASE_MS,
        still_ms=_STILL_MS,
    )
    running = asyncio.create_task(sweeper.run())
    try:
        await join(store, "n1", lease_ms=20_000)
        await asyncio.sleep(_LEASE_MS / 1000 + 0.2)  # after a start, too, nobody is out at once
        sweeps.back.clear()
        await sweeps.back.wait()
        time.sleep(2 * _STILL_MS / 1000)  # noqa: ASYNC251 - the loop stands still, as in a stopped process
        woke_s = time.monotonic()
        with redis.Redis(port=server.process.port) as raw:
            raw.zadd(store.keys.nodes_lease(), {"n1": int(time.time() * 1000) - 1})
        await eventually(lambda: is_out(store), what="the node is out")
        assert time.monotonic() - woke_s >= 0.95 * _LEASE_MS / 1000
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()
        server.process.stop()
