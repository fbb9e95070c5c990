"""A thousand half handshakes, and five thousand clients that come back at once (rows F31 and F32)."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest

from kit.attackers import Program, attackers, program
from kit.clients import Client
from kit.crowd import Habits, crowd
from kit.eventually import eventually
from kit.proxy import proxy_to
from kit.rig import PAIR, rig

if TYPE_CHECKING:
    from pathlib import Path

    from kit.rig import Rig
    from kit.schedulers import SchedulerProcess

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]

HALF = 1_000
#: Where the half handshakes come from: all people and nodes come from another address.
STRANGER = "127.0.0.2"
PER_ADDRESS = 100
CONNECT_P99_S = 1.0
CONNECTS = 120

LIGHT = 5_000
GENERATORS = 2
PEOPLE = 6
BACK_S = 60.0
STORE_CPU = 0.8
_FILES = 20_000


@pytest.fixture(autouse=True)
def enough_files() -> None:
    """Let this process and those it starts open as many sockets as the rows need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, max(hard, _FILES)))


def from_address(scheduler: SchedulerProcess, address: str) -> int:
    """Count the connections that a scheduler has from an address."""
    held = psutil.Process(scheduler.process.pid).net_connections("tcp")
    return sum(1 for each in held if each.raddr[:1] == (address,))


async def connect_s(url: str) -> float:
    """Open a session and close it; tell how long the opening took."""
    began_s = time.monotonic()
    async with Client(url) as client:
        await client.open(*PAIR)
        took_s = time.monotonic() - began_s
        assert await client.close() == 1000
    return took_s


@pytest.mark.row("F31")
@pytest.mark.parametrize("per_address", [0, PER_ADDRESS], ids=["any number of an address", "a hundred of an address"])
async def test_a_thousand_half_handshakes_keep_nobody_out(
    tmp_path: Path, seed: int, figures: dict[str, Any], per_address: int
) -> None:
    async with rig(tmp_path, seed, nodes=2, http_connections_per_address=per_address) as system:
        victim = system.schedulers[0]
        async with system.people(PEOPLE) as talking, attackers("half", victim.url, HALF, STRANGER) as half:
            await half.begin()
            await eventually(lambda: from_address(victim, STRANGER) > 50, within_s=30, what="half handshakes are there")
            took_s, most = [], 0
            for _ in range(CONNECTS):
                took_s.append(await connect_s(victim.url))
                most = max(most, from_address(victim, STRANGER))
            told = await half.stop()
        p99_s = sorted(took_s)[CONNECTS * 99 // 100]
        assert p99_s <= CONNECT_P99_S, sorted(took_s)[-5:]
        assert told["half handshakes"] >= HALF, "the fault has happened"
        assert told["let go"] > 0
        assert not per_address or most <= per_address + 20, "one more is let go for each that comes"
        await system.settle(talking)
        figures |= system.figures | {"half": told["half handshakes"], "let_go": told["let go"], "held_at_most": most}
        figures |= {"connect_p99_ms": round(1000 * p99_s)}


class StoreLoad:
    """How busy the store's process is, as a part of one core."""

    def __init__(self, system: Rig) -> None:
        self._process = psutil.Process(system.disk.server.process.pid)
        self._began_s, self._cpu_s = time.monotonic(), self._used_s()

    def mean(self) -> float:
        """Tell it since the beginning."""
        return (self._used_s() - self._cpu_s) / (time.monotonic() - self._began_s)

    def _used_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


async def ask_all(generators: list[Program], word: str) -> Counter[str]:
    """Give all generators a word, and add their answers up; times: the latest."""
    answers = await asyncio.gather(*(each.ask(word) for each in generators))
    total: Counter[str] = Counter()
    for answer in answers:
        for name, figure in answer.items():
            total[name] = max(total[name], figure) if name.endswith("_s") else total[name] + figure
    return total


@pytest.mark.row("F32")
async def test_five_thousand_clients_that_lose_their_connection_at_once_are_all_back_within_a_minute(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, nodes=2) as system, proxy_to(urlsplit(system.url).port or 0) as way:
        urls = [scheduler.url for scheduler in system.schedulers]
        async with AsyncExitStack() as stack:
            light = [
                await stack.enter_async_context(
                    program("light_sessions.py", str(seed + number), str(LIGHT // GENERATORS), *urls)
                )
                for number in range(GENERATORS)
            ]
            opened = await ask_all(light, "open")
            assert opened["missing"] == 0, opened
            there = f"http://127.0.0.1:{way.port}"
            async with crowd(there, PAIR, PEOPLE, system.source, system.note, Habits(pause_s=0.5)) as talking:
                await eventually(lambda: talking.answered >= PEOPLE, within_s=60, what="people are talking")
                load = StoreLoad(system)
                way.cut()
                back = await ask_all(light, "cut")
                busy = load.mean()
                heard = talking.answered
                await eventually(lambda: talking.answered >= heard + PEOPLE, within_s=60, what="people talk again")
            closed = await ask_all(light, "close")
        assert back["missing"] == 0, back
        assert back["lost"] >= LIGHT, "all of them lost it"
        assert back["last_s"] <= BACK_S, back
        # A token is good for one use: whose connection breaks again just then may have to begin anew.
        assert back["begun"] <= LIGHT // 20, back
        assert back["refused:503"] > 0, "there were more at once than are let in"
        assert back["told when to come again"] == back["refused:503"]
        assert busy < STORE_CPU
        assert len(talking.gaps_ms()) >= PEOPLE
        assert talking.renewed() == 0
        assert closed["left"] == 0
        await system.settle(talking)
        figures |= system.figures | {"sessions": LIGHT, "begun_anew": back["begun"], "refused": back["refused:503"]}
        figures |= {"median_s": round(back["median_s"], 1), "back_s": round(back["last_s"], 1)}
        figures |= {"store_cpu": round(busy, 2), "people_gap_ms": round(max(talking.gaps_ms()))}
