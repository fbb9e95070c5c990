"""The store is away for seven minutes (row F25): nobody restarts, nobody loses a sentence, nobody has to do anything.

It waits nearly all the time, so other rows run beside it; ``LINGUA_AWAY_S`` makes it shorter.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.rig import rig

if TYPE_CHECKING:
    from pathlib import Path

    from kit.crowd import Crowd
    from kit.rig import Rig

AWAY_S = float(os.environ.get("LINGUA_AWAY_S") or 420)
pytestmark = [pytest.mark.fault, pytest.mark.timeout(AWAY_S + 400)]

PEOPLE = 6
RECOVERED_S = 5.0
#: What starting a process and being answered takes beyond that on a busy machine.
MARGIN_S = 5.0
_LOOK_S = 10.0


async def stay_away(system: Rig) -> int:
    """Keep the store away; count how often every scheduler said that it lives and is not ready."""
    end_s, looks = time.monotonic() + AWAY_S, 0
    await system.until(lambda: states(system) == {(200, 503)}, within_s=30, what="no scheduler says that it is ready")
    while time.monotonic() < end_s:
        assert await asyncio.to_thread(states, system) == {(200, 503)}
        looks += 1
        await asyncio.sleep(min(_LOOK_S, max(0.0, end_s - time.monotonic())))
    return looks


def states(system: Rig) -> set[tuple[int, int]]:
    """Tell what the schedulers say of being alive and ready."""
    return {(one.ask("/health/live")[0], one.ask("/health/ready")[0]) for one in system.schedulers}


def running(system: Rig) -> list[int]:
    """Name the processes of schedulers and nodes that run."""
    processes = [one.process for one in system.schedulers] + [one.process for one in system.team.nodes]
    return [process.pid for process in processes if process.poll() is None]


async def all_answered(talking: Crowd, before: list[int]) -> None:
    await eventually(
        lambda: all(talker.answered > heard for talker, heard in zip(talking.talkers, before, strict=True)),
        within_s=90, what="everybody is answered again",
    )  # fmt: skip


@pytest.mark.row("F25")
async def test_the_store_is_away_for_seven_minutes(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    async with rig(tmp_path, seed) as system:
        pids = running(system)
        async with system.people(PEOPLE, outcome_s=AWAY_S + 120) as talking:
            system.disk.kill()
            looks = await stay_away(system)
            before, began_s = [talker.answered for talker in talking.talkers], time.monotonic()
            await asyncio.to_thread(system.disk.restart)
            await eventually(lambda: talking.answered > sum(before), within_s=60, what="answers come again")
            first_s = time.monotonic() - began_s
            await all_answered(talking, before)
            all_s = time.monotonic() - began_s
        await system.settle(talking)
        assert running(system) == pids
        assert looks > 0
        assert talking.broken() == []
        assert all_s <= RECOVERED_S + MARGIN_S
        figures |= system.figures | {"away_s": AWAY_S, "recovered_s": round(first_s, 2), "all_s": round(all_s, 2)}
