"""The primary behind Sentinels: killed, moved, paused, cut off. Each waits until all servers are well again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from kit.injectors.interface import injector, on_sentinels
from kit.sentinels import SERVICE, SentinelStore

if TYPE_CHECKING:
    import random

    from kit.rig import Rig

_WHOLE_S: Final = 120.0
#: Beyond the time after which Sentinels believe that a primary is gone, so that there really is another one.
_FAILOVER_S: Final = 4.0


def _store(system: Rig) -> SentinelStore:
    assert isinstance(system.store, SentinelStore)
    return system.store


@injector(on_sentinels, alone="store")
async def primary_killed(system: Rig, _: random.Random, hold_s: float) -> int:
    """Kill the primary; it comes back and follows."""
    old = await asyncio.to_thread(_store(system).primary)
    old.kill()
    ended = old.process.returncode == -9
    await asyncio.sleep(max(hold_s, _least_s(system)))
    old.start()
    await _whole(system)
    return int(ended)


@injector(on_sentinels, alone="store")
async def primary_paused(system: Rig, _: random.Random, hold_s: float) -> int:
    """Stop the primary where it is; it wakes as an old one."""
    old = await asyncio.to_thread(_store(system).primary)
    old.pause()
    try:
        await asyncio.sleep(max(hold_s, _least_s(system)))
        moved = await asyncio.to_thread(_store(system).primary) is not old
    finally:
        old.go_on()
    await _whole(system)
    return int(moved)


@injector(on_sentinels, alone="store")
async def primary_moved(system: Rig, _: random.Random, hold_s: float) -> int:
    """Ask the Sentinels for an orderly failover."""
    old = await asyncio.to_thread(_store(system).primary)
    await asyncio.to_thread(_store(system).sentinels[0].command_of, "SENTINEL", "FAILOVER", SERVICE)
    await system.until(lambda: _store(system).primary() is not old, within_s=_WHOLE_S, what="the primary has moved")
    await asyncio.sleep(hold_s / 4)
    await _whole(system)
    return 1


@injector(on_sentinels, alone="store")
async def primary_cut_off(system: Rig, _: random.Random, hold_s: float) -> int:
    """Cut the primary and one Sentinel off from everybody else."""
    store = _store(system)
    old = await asyncio.to_thread(store.primary)
    store.isolate(old, store.sentinels[0])
    try:
        await asyncio.sleep(max(hold_s, _least_s(system)))
    finally:
        dropped = store.cut.heal()
    await _whole(system)
    return dropped


def _least_s(system: Rig) -> float:
    return _store(system).down_after_ms / 1000 + _FAILOVER_S


async def _whole(system: Rig) -> None:
    await system.until(_store(system).is_whole, within_s=_WHOLE_S, what="all servers follow one primary")
