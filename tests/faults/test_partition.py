"""Two schedulers can't reach each other, and everybody else can reach both (row F39). They cut a network, as root."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kit.crowd import Habits, crowd
from kit.eventually import eventually
from kit.injectors.networks import parted
from kit.own_network import own_network
from kit.rig import PAIR, rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.rig import Rig

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

CUT_S = 20.0
#: A job that was on the way is taken back when its confirmation is due and no way opens (5 s), up to twice.
WAIT_S = 12.0
#: The way is tried each 2 s, an attempt takes up to 2 s, and waiting jobs are looked at each second.
BACK_S = 5.0
#: What else may take time on a busy machine.
MARGIN_S = 5.0


@asynccontextmanager
async def parted_rig(tmp_path: Path, seed: int, schedulers: int, **more: Any) -> AsyncIterator[Rig]:
    with own_network():
        async with rig(tmp_path, seed, schedulers=schedulers, nodes=0, apart=True, **more) as system:
            yield system


def unreachable(system: Rig) -> float:
    return system.metric("lingua_attempts_lost_total", reason="peer_unreachable")


def ways_through(system: Rig) -> int:
    """Count the ways that schedulers took through a third one."""
    return sum(scheduler.log.read_text().count("through another one") for scheduler in system.schedulers)


@pytest.mark.row("F39")
@pytest.mark.parametrize("schedulers", [2, 3])
async def test_schedulers_that_can_not_reach_each_other_cost_nobody_an_answer(
    tmp_path: Path, seed: int, figures: dict[str, Any], schedulers: int
) -> None:
    async with parted_rig(tmp_path, seed, schedulers) as system:
        for number, scheduler in enumerate(system.schedulers):
            await system.add_node(f"at-{number}", scheduler.url)
        async with system.people() as talking:
            with parted(*system.schedulers[:2]) as cut:
                await asyncio.sleep(CUT_S)
                dropped = cut.dropped()
            heard = talking.answered
            await eventually(lambda: talking.answered > heard + 20, within_s=60, what="all goes on")
        await system.settle(talking)
        assert dropped > 0
        if schedulers == 2:
            assert unreachable(system) > 0, "jobs came back and went elsewhere"
        else:
            assert ways_through(system) > 0, "the third one stood between"
        assert talking.worst_wait_s() <= WAIT_S + MARGIN_S
        figures |= system.figures | {"dropped": dropped, "came_back": int(unreachable(system))}


@pytest.mark.row("F39")
async def test_jobs_that_wait_have_the_nodes_beyond_a_cut_at_once_when_it_is_healed(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with parted_rig(tmp_path, seed, 2, job_wait_ms=60_000) as system:
        here, there = system.schedulers
        # The one that can be reached is much too slow for all.
        await system.add_node("near", here.url, capacity=1, delay_ms=6_000)
        far = await system.add_node("far", there.url, capacity=8)
        async with crowd(here.url, PAIR, 6, system.source, system.note, Habits(pause_s=0.1)) as talking:
            await eventually(lambda: len(far.events("result")) > 6, within_s=60, what="most work is done beyond")
            with parted(here, there) as cut:
                await system.until(
                    lambda: waiting_jobs(system) >= 5, within_s=60, what="all but one wait for the near node"
                )
                waiting = [spoken for spoken in talking.spoken if not spoken.answers]
                dropped = cut.dropped()
            healed_s = time.monotonic()
            await eventually(
                lambda: sum(1 for spoken in waiting if spoken.answers) >= len(waiting) - 1,
                within_s=BACK_S + MARGIN_S, what="who waited at the cut's end is served beyond it",
            )  # fmt: skip
            back_s = time.monotonic() - healed_s
        await system.settle(talking)
        assert dropped > 0
        assert len(waiting) >= 5
        figures |= {"dropped": dropped, "waited": len(waiting), "back_s": round(back_s, 2), "lost": 0}


def waiting_jobs(system: Rig) -> int:
    with system.store.client() as client:
        return int(str(client.zcard("lingua:v1:waiting:en:es")))
