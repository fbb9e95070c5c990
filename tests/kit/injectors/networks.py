"""Ways that are cut: between people, nodes and schedulers, between schedulers, between one scheduler and the store."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kit.eventually import eventually
from kit.injectors.interface import apart, injector, on_any
from kit.injectors.processes import victim
from kit.own_network import Cut
from kit.sentinels import SentinelStore

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from kit.rig import Rig
    from kit.schedulers import SchedulerProcess

_SHARE: Final = 0.4
_SOME_S: Final = 30.0


@injector(on_any)
async def lines_cut(system: Rig, source: random.Random, hold_s: float) -> int:
    """Reset connections of people and nodes, chosen by chance; at least one."""
    assert system.front is not None
    hits = system.front.cut(_SHARE, source)
    while not hits:
        await asyncio.sleep(0.1)
        hits = system.front.cut(_SHARE, source)
    await asyncio.sleep(hold_s / 4)
    return hits


@injector(on_any)
async def lines_silent(system: Rig, source: random.Random, hold_s: float) -> int:
    """Let connections of people and nodes stay open and carry nothing any more, until somebody gives them up."""
    assert system.front is not None
    swallowed = system.front.silence(_SHARE, source)
    await asyncio.sleep(hold_s)
    return swallowed()


@injector(apart)
async def schedulers_parted(system: Rig, source: random.Random, hold_s: float) -> int:
    """Drop everything between two schedulers."""
    async with (
        victim(system, source, lambda: system.schedulers) as one,
        victim(system, source, lambda: system.schedulers) as other,
    ):
        with parted(one, other) as cut:
            await asyncio.sleep(hold_s)
            return cut.dropped()


@injector(apart)
async def scheduler_without_store(system: Rig, source: random.Random, hold_s: float) -> int:
    """Drop everything between one scheduler and the store."""
    async with victim(system, source, lambda: system.schedulers) as chosen:
        cut = Cut()
        try:
            _cut_store(cut, system, chosen)
            await eventually(lambda: cut.dropped() > 0, within_s=_SOME_S, what="it asked the store")
            await asyncio.sleep(hold_s)
        finally:
            hits = cut.heal()
        return hits


@contextmanager
def parted(one: SchedulerProcess, other: SchedulerProcess) -> Iterator[Cut]:
    """Drop everything that two schedulers say to each other while the block runs."""
    assert one.gid is not None
    assert other.gid is not None
    cut = Cut()
    try:
        cut.way(one.gid, other.port)
        cut.way(other.gid, one.port)
        yield cut
    finally:
        cut.heal()


def _cut_store(cut: Cut, system: Rig, chosen: SchedulerProcess) -> None:
    assert chosen.gid is not None
    if isinstance(system.store, SentinelStore):
        for member in [*system.store.servers, *system.store.sentinels]:
            cut.group(chosen.gid, member.address)
    else:
        cut.way(chosen.gid, system.way.port if system.way is not None else system.disk.port)
