"""The one store with a disk: killed, old, empty, cut short, slow, refusing, forgetful, and hard to reach."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

import redis

from kit.eventually import eventually
from kit.injectors.interface import injector, on_a_disk, on_any, through_a_proxy

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from kit.rig import Rig

#: Between two of many small blows.
_BEAT_S: Final = 0.1
_BACK_S: Final = 30.0
#: The end of its file that a store may lose: up to about a second of a busy one.
_TAIL_BYTES: Final = 20_000
#: The longest that one command holds a store up: beyond this it is not slow, it is away.
_SLOW_S: Final = 5.0
_DELAY_S: Final = 0.05


@injector(on_a_disk, alone="store")
async def store_killed(system: Rig, _: random.Random, hold_s: float) -> int:
    """Kill the store; it comes back with its disk."""
    return await _without(system, hold_s, lambda: 1)


@injector(on_a_disk, alone="store")
async def store_tail_lost(system: Rig, source: random.Random, hold_s: float) -> int:
    """Kill the store and take the end of what it wrote away."""
    cut_bytes = source.randint(1, _TAIL_BYTES)
    return await _without(system, hold_s / 4, lambda: system.disk.cut_tail(cut_bytes))


@injector(on_a_disk, alone="store")
async def store_older(system: Rig, _: random.Random, hold_s: float) -> int:
    """Let the store come back as it was ``hold_s`` ago."""
    copy = system.directory / "older"
    await asyncio.to_thread(system.disk.copy, copy)

    def bring_back() -> int:
        system.disk.bring_back(copy)
        shutil.rmtree(copy)
        return 1

    await asyncio.sleep(hold_s)
    return await _without(system, 0, bring_back)


@injector(on_a_disk, alone="store")
async def store_emptied(system: Rig, _: random.Random, hold_s: float) -> int:
    """Kill the store; it comes back with nothing."""

    def empty() -> int:
        system.disk.empty()
        return 1

    return await _without(system, hold_s / 4, empty)


@injector(on_a_disk, alone="store")
async def store_flushed(system: Rig, _: random.Random, hold_s: float) -> int:
    """Delete everything in the store while it runs."""
    await asyncio.to_thread(system.disk.command, "FLUSHALL")
    calls: Any = (await asyncio.to_thread(system.disk.command, "INFO", "commandstats"))["cmdstat_flushall"]["calls"]
    await asyncio.sleep(hold_s / 4)
    return int(calls)


@injector(on_a_disk, alone="store")
async def store_paused(system: Rig, _: random.Random, hold_s: float) -> int:
    """Stop the store where it is, and let it go on."""
    system.disk.pause()
    try:
        await asyncio.sleep(hold_s)
    finally:
        system.disk.go_on()
    return 1


@injector(on_a_disk, alone="store")
async def store_asleep(system: Rig, _: random.Random, hold_s: float) -> int:
    """Hold the store up with one long command, some times."""
    times = 0
    end_s = time.monotonic() + hold_s
    while not times or time.monotonic() < end_s:
        await asyncio.to_thread(system.disk.command, "DEBUG", "SLEEP", str(min(hold_s / 2, _SLOW_S)))
        times += 1
        await asyncio.sleep(1.0)
    return times


@injector(on_a_disk, alone="store")
async def store_refuses(system: Rig, source: random.Random, hold_s: float) -> int:
    """Let the store refuse to write: its memory is full, or it lacks replicas."""
    setting, broken = source.choice([("maxmemory", "1"), ("min-replicas-to-write", "3")])
    await asyncio.to_thread(system.disk.command, "CONFIG", "SET", setting, broken)
    try:
        await asyncio.sleep(hold_s)
        return int(await asyncio.to_thread(_refuses, system))
    finally:
        await asyncio.to_thread(system.disk.command, "CONFIG", "SET", setting, "0")


def _refuses(system: Rig) -> bool:
    try:
        system.disk.command("SET", "lingua-test-probe", "x", "PX", "1")
    except redis.ResponseError:
        return True
    return False


@injector(on_any)
async def scripts_forgotten(system: Rig, _: random.Random, hold_s: float) -> int:
    """Let the store forget its scripts all the time."""
    return await _again_and_again(system, hold_s, "SCRIPT", "FLUSH")


@injector(on_any)
async def store_connections_killed(system: Rig, _: random.Random, hold_s: float) -> int:
    """Let the store end the connections of its clients, some times."""
    return await _again_and_again(system, hold_s, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes", every_s=1.0)


@injector(through_a_proxy)
async def store_replies_lost(system: Rig, _: random.Random, hold_s: float) -> int:
    """Throw replies of the store away, after it has acted."""
    way = system.way
    assert way is not None
    before, end_s = way.lost, time.monotonic() + hold_s
    while time.monotonic() < end_s:
        way.lose_replies = 1
        await asyncio.sleep(2.5 * _BEAT_S)
    way.lose_replies = 0
    return way.lost - before


@injector(through_a_proxy, alone="way")
async def store_far(system: Rig, _: random.Random, hold_s: float) -> int:
    """Let everything between schedulers and store take longer."""
    way = system.way
    assert way is not None
    before, way.delay_s = way.slowed, _DELAY_S
    await asyncio.sleep(hold_s)
    way.delay_s = 0.0
    return way.slowed - before


@injector(through_a_proxy, alone="way")
async def store_silent(system: Rig, _: random.Random, hold_s: float) -> int:
    """Let the way to the store swallow everything; its connections stay open for a while."""
    way = system.way
    assert way is not None
    before, way.hole = way.held, True
    await asyncio.sleep(hold_s)
    way.hole = False
    hits = way.held - before
    # What was said half must not go on: the network of a real hole resets or times out such connections.
    way.cut()
    return hits


async def _without(system: Rig, hold_s: float, meanwhile: Callable[[], int]) -> int:
    """Kill the store, do something to its disk, and bring it back; return what that did."""
    system.disk.kill()
    done = await asyncio.to_thread(meanwhile)
    await asyncio.sleep(hold_s)
    await asyncio.to_thread(system.disk.restart)
    return done


async def _again_and_again(system: Rig, hold_s: float, *words: str, every_s: float = _BEAT_S) -> int:
    """Run a command on the store as often as it answers."""
    times, end_s = 0, time.monotonic() + hold_s
    while time.monotonic() < end_s:
        times += await asyncio.to_thread(_command, system, words)
        await asyncio.sleep(every_s)
    if not times:
        await eventually(lambda: _command(system, words), within_s=_BACK_S, what="the store takes a command")
        times = 1
    return times


def _command(system: Rig, words: tuple[str, ...]) -> bool:
    try:
        system.store.command(*words)
    except (redis.RedisError, OSError, ValueError):  # another fault keeps the store away; no Sentinel names a primary
        return False
    return True
