"""soak.py: people talk for MINUTES (15), something is broken every five of them, and nothing may grow.

Writes build/soak.json and build/soak.txt; what was recorded is in build/soak/, for ``tests/faults/check.py``.
Environment: LINGUA_MINUTES, LINGUA_SEED. Exit code 1: something grew, or an invariant is broken. It cuts networks, so
it needs root.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import redis

from kit import history, soak, store_snapshot
from kit.composition import served
from kit.injectors.table import fitting
from kit.own_network import own_network
from kit.rig import rig
from kit.seeds import chosen_seed

if TYPE_CHECKING:
    from kit.crowd import Crowd
    from kit.injectors.table import Injector
    from kit.rig import Rig

BUILD: Final = Path(__file__).resolve().parents[2] / "build"
MINUTES: Final = float(os.environ.get("LINGUA_MINUTES") or 15)
#: As often as the promise says; a shorter run has three.
FAULT_EVERY_S: Final = min(300.0, MINUTES * 60 / 3)
WINDOW_S: Final = min(60.0, MINUTES * 60 / 10)
PEOPLE: Final = 12
#: One in ten people leaves and comes again in a minute.
SESSION_S: Final = 600.0
HOLD_S: Final = (5.0, 15.0)
SERVED_S: Final = 90.0


class Soak:
    """One long run over a rig."""

    def __init__(self, system: Rig, talking: Crowd, source: random.Random) -> None:
        self.windows: list[soak.Window] = []
        self.faults: list[str] = []
        self._system = system
        self._talking = talking
        self._source = source
        self._is_broken = False
        self._was_broken = False

    async def run(self) -> None:
        """Run for as long as was asked."""
        breaking = asyncio.create_task(self._break_now_and_then())
        end_s = time.monotonic() + MINUTES * 60
        try:
            while time.monotonic() < end_s and not breaking.done():
                self.windows.append(await self._window())
        finally:
            breaking.cancel()
            ended = (await asyncio.gather(breaking, return_exceptions=True))[0]
        if isinstance(ended, Exception):
            raise ended

    async def _window(self) -> soak.Window:
        window = soak.Window(time.monotonic())
        self._was_broken = self._is_broken
        await asyncio.sleep(WINDOW_S)
        until_s = time.monotonic()
        said = [one for one in self._talking.spoken if window.began_s <= one.said_s < until_s and one.answers]
        window.waits_s = [one.wait_s for one in said]
        window.of = self._system.sample() | await asyncio.to_thread(self._store)
        window.broken = self._was_broken
        sys.stdout.write(f"{len(self.windows)}: {len(said)} said, p99 {window.p99_s * 1000:.0f} ms\n")
        sys.stdout.flush()
        return window

    def _store(self) -> dict[str, dict[str, float]]:
        with suppress(redis.RedisError, OSError), self._system.store.client() as client:
            keys, size_bytes = store_snapshot.beside_jobs(client)
            return {"store": {"keys": keys, "memory_bytes": size_bytes}}
        return {}

    async def _break_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(FAULT_EVERY_S * 0.6)
            await self._break(self._source.choice(sorted(fitting(self._system), key=lambda one: one.name)))
            await asyncio.sleep(FAULT_EVERY_S * 0.4)

    async def _break(self, chosen: Injector) -> None:
        self._is_broken = self._was_broken = True
        hold_s = self._source.uniform(*HOLD_S)
        hits = await chosen.inject(self._system, random.Random(self._source.getrandbits(32)), hold_s)
        back_s = await served(self._talking, SERVED_S)
        self._is_broken = False
        self.faults.append(f"{chosen.name} for {hold_s:.0f} s, {hits} hits, all served after {back_s:.1f} s")
        sys.stdout.write(f"   {self.faults[-1]}\n")


async def run(seed: int) -> int:
    """Run one soak, judge it and write it down; return the exit code."""
    folder = BUILD / "soak"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = random.Random(seed)
    with own_network():
        async with rig(folder, seed, schedulers=3, nodes=6, through=True, apart=True) as system:
            async with system.people(PEOPLE, pause_s=1.0, look_s=WINDOW_S, session_s=SESSION_S) as talking:
                made = Soak(system, talking, source)
                await made.run()
            verdict = await system.rest(talking)
    with_tasks(made.windows, folder)
    found = [*soak.findings(made.windows), *verdict.broken]
    told = "\n".join(
        [soak.table(made.windows), "", *made.faults, "", *(found or ["nothing grew, all invariants hold"])]
    )
    told += f"\nlooked at: {verdict.looked_at}\nseed {seed}\n"
    (BUILD / "soak.txt").write_text(told)
    whole = soak.report(made.windows, seed=seed, minutes=MINUTES, faults=made.faults, broken=verdict.broken)
    (BUILD / "soak.json").write_text(json.dumps(whole, indent=1) + "\n")
    sys.stdout.write(told)
    return 1 if found else 0


def with_tasks(windows: list[soak.Window], folder: Path) -> None:
    """Add to each window how many tasks each process had, as it noted by itself."""
    noted = [event for path in folder.rglob("*.jsonl") for event in history.read(path) if event["event"] == "tasks"]
    for event in sorted(noted, key=lambda event: float(event["at_s"])):
        name = f"{event['process']}/{event['pid']}"
        window = next((one for one in windows if one.began_s <= event["at_s"] < one.began_s + WINDOW_S), None)
        if window and name in window.of:
            window.of[name]["tasks"] = event["count"]


def main() -> int:
    """Run one."""
    if MINUTES <= 0:
        sys.stderr.write("LINGUA_MINUTES is how long to run: more than 0\n")
        return 2
    return asyncio.run(run(chosen_seed()))


if __name__ == "__main__":
    sys.exit(main())
