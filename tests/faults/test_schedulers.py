"""Schedulers are replaced, killed and paused while people talk: nobody loses a sentence (rows F1, F3, F4)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.rig import rig

if TYPE_CHECKING:
    from pathlib import Path

    from kit.crowd import Crowd
    from kit.schedulers import SchedulerProcess

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]
PEOPLE = 8
#: Twice the lease of a node, and three times that of an instance: to all others it is dead.
SLEEP_S = 30.0


async def heard_more(talking: Crowd, count: int = 2 * PEOPLE) -> None:
    """Wait until people have heard so many more answers."""
    before = talking.answered
    await eventually(lambda: talking.answered >= before + count, within_s=90, what=f"{count} more answers")


async def ended(scheduler: SchedulerProcess) -> int:
    return await asyncio.to_thread(scheduler.wait)


def fenced(scheduler: SchedulerProcess) -> int:
    """Count what the store refused since a later generation holds the session."""
    return int(scheduler.metric("lingua_sessions_fenced_total"))


def assert_nobody_noticed(talking: Crowd) -> None:
    assert talking.lost() == []
    assert talking.broken() == []
    assert talking.violations() == []


@pytest.mark.row("F4")
async def test_a_rolling_update_costs_nobody_a_sentence_and_everybody_moves_in_time(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, schedulers=2, nodes=3, delay_ms=200, drain_reconnect_ms=500) as system:
        old = list(system.schedulers)
        async with system.people(PEOPLE) as talking:
            for leaving in old:
                await system.add_scheduler()
                leaving.terminate()
                await eventually(lambda: leaving.process.poll() is not None, within_s=60, what="it has ended")  # noqa: B023
                assert await ended(leaving) == 0
                await heard_more(talking)
        assert_nobody_noticed(talking)
        assert len(talking.gaps_ms()) >= PEOPLE, "everybody moved at least once"
        assert talking.renewed() == 0
        assert sorted(talking.gaps_ms())[-1] < 5_000
        await system.settle(talking)
        figures |= system.figures | {"gap_ms": round(max(talking.gaps_ms(), default=0))}


@pytest.mark.row("F1")
async def test_a_scheduler_that_is_killed_costs_nobody_a_sentence(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, schedulers=2, nodes=3, delay_ms=200) as system:
        async with system.people(PEOPLE) as talking:
            system.schedulers[0].kill()
            await system.add_scheduler()
            await heard_more(talking)
        assert_nobody_noticed(talking)
        assert talking.gaps_ms(), "somebody was there"
        await system.settle(talking)
        figures |= system.figures | {"gap_ms": round(max(talking.gaps_ms(), default=0))}


@pytest.mark.row("F3")
async def test_a_scheduler_that_is_paused_and_comes_back_disturbs_nobody(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, schedulers=2, nodes=3, delay_ms=200) as system:
        paused = system.schedulers[0]
        async with system.people(PEOPLE) as talking:
            await eventually(lambda: paused.metric("lingua_sessions_active") > 0, what="it has sessions")
            paused.pause()
            try:
                await asyncio.sleep(SLEEP_S)
            finally:
                paused.go_on()
            await system.until(lambda: fenced(paused) > 0, within_s=60, what="what it still writes is refused")
            await heard_more(talking, 3 * PEOPLE)
        assert_nobody_noticed(talking)
        await system.settle(talking)
        stale = {"fenced": fenced(paused), "rejected": system.rejected()}
        figures |= system.figures | {"gap_ms": round(max(talking.gaps_ms(), default=0))} | stale
