"""Nothing is broken: each job is done once. What row F24 is compared with, where answers of the store are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.rig import rig

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.fault, pytest.mark.alone, pytest.mark.timeout(300)]

SAID = 200


@pytest.mark.row("F24")
async def test_without_a_fault_each_job_is_done_once(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            await eventually(lambda: talking.answered > SAID, within_s=120, what=f"{SAID} answers")
        verdict = await system.settle(talking, calm=True)
        assert verdict.looked_at["job"] >= SAID
        figures |= system.figures
