"""Two or three faults at once, chosen by the seed (row F41): whatever is broken together, nobody hears anything twice.

``make faults ROW=F41 MINUTES=60`` composes for an hour, and ``SEED`` repeats a run: the rounds are printed. They cut
networks, so they need root.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kit.composition import plan, play
from kit.injectors.table import fitting
from kit.own_network import own_network
from kit.rig import rig
from kit.sentinels import sentinel_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.rig import Rig

MINUTES = float(os.environ.get("LINGUA_MINUTES") or 1.5)
pytestmark = [pytest.mark.fault, pytest.mark.timeout(300 + MINUTES * 60 * 3)]

PEOPLE = 8
#: After everything is mended: a silent way is found by a ping, a lease of 15 s runs out, a job is tried again.
SERVED_S = 60.0


@asynccontextmanager
async def standalone(tmp_path: Path, seed: int) -> AsyncIterator[Rig]:
    with own_network():
        async with rig(tmp_path, seed, schedulers=3, through=True, apart=True) as system:
            yield system


@asynccontextmanager
async def durable(tmp_path: Path, seed: int) -> AsyncIterator[Rig]:
    with sentinel_store(tmp_path / "store") as store:
        async with rig(tmp_path, seed, schedulers=3, apart=True, store=store, redis_profile="durable") as system:
            yield system


@pytest.mark.row("F41")
@pytest.mark.parametrize("profile", [standalone, durable], ids=lambda profile: profile.__name__)
async def test_faults_that_come_together_cost_nobody_a_sentence(
    tmp_path: Path, seed: int, figures: dict[str, Any], profile: Any
) -> None:
    async with profile(tmp_path, seed) as system:
        rounds = plan(seed, fitting(system), MINUTES * 60)
        async with system.people(PEOPLE) as talking:
            played = await play(system, talking, rounds, SERVED_S)
        await system.settle(talking)
        assert sum(played.hits.values()) > 0
        figures |= system.figures | {"rounds": len(rounds), "faults": sum(played.times.values())}
        figures |= {"recovered_s": round(max(played.recovered_s), 1)}
