"""The primary dies, is moved, is cut off, sleeps (rows F19 to F22): the durable profile, three Sentinels, two replicas.

They run in a network of their own, as root.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.rig import rig
from kit.sentinels import ISOLATED_GID, SentinelStore, sentinel_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.crowd import Crowd
    from kit.rig import Rig
    from kit.schedulers import SchedulerProcess

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]

#: How long without an answer a failover may leave everybody, beyond the time after which Sentinels believe in it.
GAP_S = 5.0
#: How long an isolated side may go on as if nothing was.
NOTICED_S = 3.0
#: How long after the cut is healed everybody must be at the new primary.
MOVED_AFTER_HEAL_S = 2.0
#: What else may take time on a busy machine.
MARGIN_S = 5.0
_MOVED_S = 60.0


@asynccontextmanager
async def durable_rig(tmp_path: Path, seed: int, **more: Any) -> AsyncIterator[tuple[Rig, SentinelStore]]:
    with sentinel_store(tmp_path / "store") as store:
        async with rig(tmp_path, seed, store=store, redis_profile="durable", **more) as system:
            yield system, store


def longest_gap_s(talking: Crowd, since_s: float) -> float:
    """Tell the longest time in which nobody heard anything, from ``since_s`` on."""
    heard = sorted(at for spoken in talking.spoken for at in spoken.answers if at >= since_s)
    times = [since_s, *heard, time.monotonic()]
    return max(later - earlier for earlier, later in pairwise(times))


async def moved(system: Rig, store: SentinelStore, old: Any, talking: Crowd, began_s: float) -> float:
    """Wait until another primary is there and answers come again; return the longest gap in them."""
    await system.until(lambda: store.primary() is not old, within_s=_MOVED_S, what="another one is the primary")
    heard = talking.answered
    await eventually(lambda: talking.answered > heard + 10, within_s=60, what="answers come again")
    gap_s = longest_gap_s(talking, began_s)
    system.figures["gap_s"] = round(gap_s, 2)
    return gap_s


@pytest.mark.row("F19")
async def test_the_primary_is_moved_in_an_orderly_way(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    async with durable_rig(tmp_path, seed) as (system, store):
        async with system.people() as talking:
            old, began_s = await asyncio.to_thread(store.primary), time.monotonic()
            await asyncio.to_thread(store.sentinels[0].command_of, "SENTINEL", "FAILOVER", "lingua")
            gap_s = await moved(system, store, old, talking, began_s)
            await system.until(store.is_whole, within_s=_MOVED_S, what="the old primary follows the new one")
        await system.settle(talking)
        assert gap_s <= GAP_S + MARGIN_S
        figures |= system.figures


@pytest.mark.row("F20")
async def test_the_primary_is_killed(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    async with durable_rig(tmp_path, seed) as (system, store):
        async with system.people() as talking:
            old, began_s = await asyncio.to_thread(store.primary), time.monotonic()
            old.kill()
            gap_s = await moved(system, store, old, talking, began_s)
            old.start()
            await system.until(store.is_whole, within_s=_MOVED_S, what="the old primary follows the new one")
        await system.settle(talking)
        assert gap_s <= store.down_after_ms / 1000 + GAP_S + MARGIN_S
        figures |= system.figures | {"down_after_s": store.down_after_ms / 1000}


@pytest.mark.row("F22")
async def test_the_primary_sleeps_and_wakes_as_an_old_one(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    async with durable_rig(tmp_path, seed) as (system, store):
        async with system.people() as talking:
            old, began_s = await asyncio.to_thread(store.primary), time.monotonic()
            old.pause()
            await asyncio.sleep(10)
            old.go_on()
            gap_s = await moved(system, store, old, talking, began_s)
            await system.until(store.is_whole, within_s=_MOVED_S, what="the old primary follows the new one")
        await system.settle(talking)
        assert old.role() in ("slave", "replica")
        figures |= system.figures | {"slept_s": 10, "gap_s": round(gap_s, 2)}


class Isolated:
    """The scheduler on the side of the old primary: what it took after the cut, and when it took the last."""

    def __init__(self, scheduler: SchedulerProcess) -> None:
        self._scheduler = scheduler
        self._began_s = time.monotonic()
        self.taken = self._taken()
        self.last_s = 0.0

    def look(self) -> None:
        """See whether it took a job since the last look."""
        taken = self._taken()
        if taken > self.taken:
            self.last_s = time.monotonic() - self._began_s
        self.taken = taken

    def refused(self) -> float:
        """Count what it refused, or could not be sure of."""
        return self._scheduler.metric("lingua_dispatch_seconds_count", outcome="store_error")

    def _taken(self) -> float:
        outcomes = ("assigned", "waiting", "repeated")
        return sum(self._scheduler.metric("lingua_dispatch_seconds_count", outcome=one) for one in outcomes)


def connections(store: SentinelStore) -> int:
    """Count the schedulers' connections to the primary."""
    with store.client() as client:
        return sum(1 for one in client.client_list() if one["name"] == "lingua")


@pytest.mark.row("F21")
@pytest.mark.parametrize("cut_s", [6, 30])
async def test_the_primary_is_cut_off_together_with_a_scheduler(
    tmp_path: Path, seed: int, figures: dict[str, Any], cut_s: int
) -> None:
    async with durable_rig(tmp_path, seed, schedulers=1, nodes=2) as (system, store):
        apart = await system.add_scheduler(gid=ISOLATED_GID)
        for number in range(2):
            await system.add_node(f"apart-{number}", apart.url)
        async with system.people() as talking:
            # This process carries the connections: whatever may take time goes into a thread.
            old = await asyncio.to_thread(store.primary)
            isolated = Isolated(apart)
            store.isolate(old, store.sentinels[0])
            end_s = time.monotonic() + cut_s
            while time.monotonic() < end_s:
                await asyncio.to_thread(isolated.look)
                await asyncio.sleep(0.1)
            refused = await asyncio.to_thread(isolated.refused)
            before = await asyncio.to_thread(connections, store)
            assert await asyncio.to_thread(store.primary) is not old
            dropped = store.cut.heal()
            moved_s = await system.until(
                lambda: connections(store) > before, within_s=_MOVED_S, what="the other one comes to the new primary"
            )
            system.figures |= {"cut_s": cut_s, "dropped": dropped, "noticed_s": round(isolated.last_s, 2)}
            system.figures |= {"refused": int(refused), "moved_s": round(moved_s, 2)}
            await system.until(store.is_whole, within_s=_MOVED_S, what="the old primary follows the new one")
            heard = talking.answered
            await eventually(lambda: talking.answered > heard + 10, within_s=60, what="answers come again")
        # What the isolated side could not promise it kept, and did afterwards.
        await system.settle(talking)
        assert dropped > 0
        assert refused > 0
        assert isolated.last_s <= NOTICED_S
        assert moved_s <= MOVED_AFTER_HEAL_S + MARGIN_S
        figures |= system.figures
