"""Nodes that die, keep quiet and come back while people talk (rows F6 to F14)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.rig import rig

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]


@pytest.mark.row("F6")
async def test_a_node_killed_in_mid_job_costs_nobody_an_answer(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            for _ in range(4):
                victim = await eventually(lambda: system.team.working()[:1], within_s=30, what="a node is at work")
                victim[0].kill()
                await asyncio.sleep(system.source.random())
                victim[0].start()
        await system.settle(talking)
        figures |= system.figures | {"kills": 4}
