"""Schedulers and nodes that are killed, paused and replaced."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import psutil

from kit.eventually import eventually
from kit.injectors.interface import injector, on_any

if TYPE_CHECKING:
    import random
    import subprocess
    from collections.abc import AsyncIterator, Callable

    from kit.fleet import NodeProcess
    from kit.rig import Rig
    from kit.schedulers import SchedulerProcess

    P = TypeVar("P", SchedulerProcess, NodeProcess)

#: A safety on a busy machine: how long until a process is free for a fault.
_PATIENCE_S: Final = 120.0
#: A scheduler that is asked to stop drains for its grace of 25 s at most.
_DRAINED_S: Final = 60.0


@asynccontextmanager
async def victim(system: Rig, source: random.Random, of: Callable[[], list[P]]) -> AsyncIterator[P]:
    """Choose one of the processes that run and to which nothing else is being done, and keep it for this fault."""

    def free() -> list[P]:
        return [one for one in of() if one.process.poll() is None and one.process.pid not in system.taken]

    found: list[P] = await eventually(free, within_s=_PATIENCE_S, what="a process is free for a fault")
    chosen = found[source.randrange(len(found))]
    pid = chosen.process.pid
    system.taken.add(pid)
    try:
        yield chosen
    finally:
        system.taken.discard(pid)


@injector(on_any)
async def scheduler_killed(system: Rig, source: random.Random, hold_s: float) -> int:
    """Kill a scheduler; another one, with a new name, takes its place."""
    async with victim(system, source, lambda: system.schedulers) as chosen:
        chosen.kill()
        await asyncio.sleep(hold_s)
        await system.add_scheduler()
        return int(chosen.process.returncode == -9)


@injector(on_any)
async def scheduler_paused(system: Rig, source: random.Random, hold_s: float) -> int:
    """Stop a scheduler where it is, and let it go on."""
    async with victim(system, source, lambda: system.schedulers) as chosen:
        return await _paused(chosen, hold_s)


@injector(on_any)
async def scheduler_replaced(system: Rig, source: random.Random, hold_s: float) -> int:
    """Let a new scheduler come and an old one drain, as a rolling update does."""
    async with victim(system, source, lambda: system.schedulers) as chosen:
        await system.add_scheduler()
        chosen.terminate()
        await eventually(lambda: chosen.process.poll() is not None, within_s=_DRAINED_S, what="it has drained")
        assert chosen.process.returncode == 0, chosen.log.read_text()[-4000:]
        await asyncio.sleep(hold_s / 2)
        return 1


@injector(on_any)
async def node_killed(system: Rig, source: random.Random, hold_s: float) -> int:
    """Kill a node; it comes back under its name."""
    async with victim(system, source, lambda: system.team.nodes) as chosen:
        chosen.kill()
        ended = chosen.process.returncode == -9
        await asyncio.sleep(hold_s)
        chosen.start()
        return int(ended)


@injector(on_any)
async def node_paused(system: Rig, source: random.Random, hold_s: float) -> int:
    """Stop a node where it is, and let it go on."""
    async with victim(system, source, lambda: system.team.nodes) as chosen:
        return await _paused(chosen, hold_s)


async def _paused(chosen: SchedulerProcess | NodeProcess, hold_s: float) -> int:
    chosen.pause()
    try:
        await eventually(lambda: _is_stopped(chosen.process), what="it stands still")
        await asyncio.sleep(hold_s)
        return int(_is_stopped(chosen.process))
    finally:
        chosen.go_on()


def _is_stopped(process: subprocess.Popen[bytes]) -> bool:
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
