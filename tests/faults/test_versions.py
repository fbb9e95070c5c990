"""Schedulers and nodes of two versions work side by side, and a rolling update goes there and back (row F38).

The other version is an earlier commit of this repository (an update to what is here, and back), or a next one that is
made of this tree with what a version may change (kit/versions.py). People talk all the time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.rig import rig
from kit.versions import Version, earlier_version, next_version
from lingua_scheduler import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kit.crowd import Crowd
    from kit.rig import Rig

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]

PEOPLE = 8
_OTHERS: dict[str, Callable[[Path], Version]] = {"earlier": earlier_version, "next": next_version}
#: What is replaced after what: both kinds beside each other, in each order.
_ORDERS = {"schedulers first": "ssnn", "nodes first": "nnss"}


@pytest.mark.row("F38")
@pytest.mark.parametrize("other", _OTHERS)
@pytest.mark.parametrize("order", _ORDERS)
async def test_an_update_goes_there_and_back_while_people_talk(
    tmp_path: Path, seed: int, figures: dict[str, Any], other: str, order: str
) -> None:
    version = _OTHERS[other](tmp_path / "version")
    async with rig(tmp_path, seed, nodes=2, delay_ms=200, drain_reconnect_ms=500) as system:
        async with system.people(PEOPLE) as talking:
            for to in (version, None):
                for what in _ORDERS[order]:
                    await (replace_scheduler if what == "s" else replace_node)(system, to)
                    await heard_more(talking)
                assert await asyncio.to_thread(versions, system) == {to.name if to else __version__}
        await system.settle(talking)
        assert talking.broken() == []
        assert talking.renewed() == 0
        gaps_ms = talking.gaps_ms()
        assert len(gaps_ms) >= PEOPLE, "everybody moved at least once"
        figures |= system.figures | {"replaced": 2 * len(_ORDERS[order]), "gap_ms": round(max(gaps_ms))}


async def heard_more(talking: Crowd, count: int = PEOPLE) -> None:
    """Wait until people have heard so many more answers."""
    before = talking.answered
    await eventually(lambda: talking.answered >= before + count, within_s=90, what=f"{count} more answers")


async def replace_scheduler(system: Rig, to: Version | None) -> None:
    """Let a scheduler of a version come, and the oldest one go."""
    old = next(one for one in system.schedulers if one.process.poll() is None)
    await system.add_scheduler(before=to.before if to else ())
    old.terminate()
    await eventually(lambda: old.process.poll() is not None, within_s=60, what="it has drained")
    assert old.process.returncode == 0, old.log.read_text()[-4000:]


async def replace_node(system: Rig, to: Version | None) -> None:
    """Let a node of a version come, and the oldest one go."""
    old = next(one for one in system.team.nodes if one.process.poll() is None)
    options: dict[str, object] = {"newer": True} if to and to.newer_nodes else {}
    options["before"] = to.before if to else ()
    await system.add_node(f"node-{len(system.team.nodes)}", "", delay_ms=200, **options)
    await asyncio.to_thread(old.stop)


def versions(system: Rig) -> set[str]:
    """Ask the schedulers that run which version they are."""
    running = [one for one in system.schedulers if one.process.poll() is None]
    return {one.ask("/health")[1]["version"] for one in running}
