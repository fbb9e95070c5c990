"""Clocks are wrong and clocks jump, by an hour, ahead and back, of every process and of the store (row F33).

Times of day are what libfaketime makes them; monotonic clocks stay true. The store is set too, with all that
it lets lapse by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import wave
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kit.clocks import Clock
from kit.crowd import heard_again
from kit.eventually import eventually
from kit.proof import TEXT_MARK, utterance
from kit.redis_servers import valkey_server
from kit.rig import rig
from kit.store_process import store_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.rig import Rig
    from kit.schedulers import SchedulerProcess

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

HOUR_S = 3_600
#: A node says that it lives each 5 s, the sweep comes each half second.
RECOVERED_S = 5.0
#: A silent node is found when its lease of 15 s has run out and the next sweep has come (guarantees, N1); one whose
#: lease was given anew has the longest, 45 s.
DETECTED_S = 47.0
#: What else may take time on a busy machine.
MARGIN_S = 5.0
_LINGUA = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "lingua"


def told_offset_s(scheduler: SchedulerProcess) -> float:
    """Tell how far a scheduler's time of day was away from the true one when it last logged something."""
    told = datetime.fromisoformat(scheduler.lines()[-1]["time"])
    return (told - datetime.now(UTC)).total_seconds()


def reads(clock: Clock, pid: int) -> bool:
    """Tell whether a process runs by a clock."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().decode()
    maps = Path(f"/proc/{pid}/maps").read_text()
    return clock.before[2] in environment and "libfaketime" in maps


@asynccontextmanager
async def clocked_rig(tmp_path: Path, seed: int, clocks: list[Clock]) -> AsyncIterator[Rig]:
    """Run a scheduler and two nodes by each of the clocks."""
    async with rig(tmp_path, seed, schedulers=0, nodes=0) as system:
        for clock in clocks:
            await system.add_scheduler(before=clock.before)
        for number, clock in enumerate([*clocks, *clocks]):
            node = await system.add_node(f"node-{number}", before=clock.before)
            assert reads(clock, node.process.pid)
        yield system


def lost_nodes(system: Rig) -> list[str]:
    """Name the nodes that some scheduler took for lost."""
    lines = [line for scheduler in system.schedulers for line in scheduler.lines()]
    return [line["node_id"] for line in lines if line["event"].startswith("node lost")]


@pytest.mark.row("F33")
async def test_schedulers_nodes_and_clients_whose_clocks_are_two_hours_apart_work_together(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    ahead, behind = Clock(tmp_path / "ahead", HOUR_S), Clock(tmp_path / "behind", -HOUR_S)
    async with clocked_rig(tmp_path, seed, [ahead, behind]) as system:
        offsets_s = [told_offset_s(scheduler) for scheduler in system.schedulers]
        async with system.people() as talking:
            for clock in (ahead, behind):
                assert TEXT_MARK in await translated(tmp_path, system, clock)
            assert system.front is not None
            cut = system.front.cut(1.0, system.source)
            await heard_again(talking, 20)
        await system.settle(talking)
        assert offsets_s == pytest.approx([HOUR_S, -HOUR_S], abs=60)
        assert lost_nodes(system) == []
        figures |= system.figures | {"apart_s": 2 * HOUR_S, "sockets_cut": cut}


async def translated(tmp_path: Path, system: Rig, clock: Clock) -> str:
    """Let a client that runs by a clock translate something."""
    recording = tmp_path / "said.wav"
    with wave.open(str(recording), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(utterance(600, system.source))
    command = (*clock.before, str(_LINGUA), "translate", str(recording), "--url", system.url, "--json")
    client = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told, _ = await client.communicate()
    assert client.returncode == 0, told
    return told.decode()


async def come_back_until_told(system: Rig, offset_s: int) -> None:
    """Let people and nodes connect again until every scheduler logged something by its new time of day."""

    def told() -> bool:
        return all(abs(told_offset_s(scheduler) - offset_s) < HOUR_S / 60 for scheduler in system.schedulers)

    assert system.front is not None
    for _ in range(10):
        system.front.cut(0.5, system.source)
        with contextlib.suppress(AssertionError):
            await system.until(told, within_s=3, what="every scheduler tells the time that was set")
            return
    raise AssertionError("not every scheduler went by the time that was set")


@pytest.mark.row("F33")
@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S], ids=["ahead", "back"])
async def test_the_clocks_of_all_processes_jump_and_are_set_right_again(
    tmp_path: Path, seed: int, figures: dict[str, Any], by_s: int
) -> None:
    clock = Clock(tmp_path / "clock")
    async with clocked_rig(tmp_path, seed, [clock, clock]) as system:
        took_s = []
        async with system.people() as talking:
            for offset_s in (by_s, 0):
                clock.jump(offset_s)
                took_s.append(await heard_again(talking, 20))
                await come_back_until_told(system, offset_s)
        await system.settle(talking)
        assert lost_nodes(system) == []
        assert max(took_s) <= RECOVERED_S + MARGIN_S
        figures |= system.figures | {"jumps": clock.jumps, "recovered_s": round(max(took_s), 2)}


@pytest.mark.row("F33")
@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S], ids=["ahead", "back"])
async def test_the_stores_clock_jumps_and_nobody_is_lost_and_nobody_lives_for_ever(
    tmp_path: Path, seed: int, figures: dict[str, Any], by_s: int
) -> None:
    clock = Clock(tmp_path / "clock")
    program = clock.program(tmp_path / "bin", valkey_server())
    with store_process(tmp_path / "store", program=program) as store:
        async with rig(tmp_path, seed, store=store, delay_ms=300) as system:
            async with system.people() as talking:
                await eventually(lambda: len(system.team.working()) >= 2, within_s=30, what="nodes are at work")
                before_s = store.command("TIME")[0]
                clock.jump(by_s)
                await system.until(
                    lambda: abs(store.command("TIME")[0] - before_s) > HOUR_S / 2, within_s=5, what="it has jumped"
                )
                jumped_s = store.command("TIME")[0] - before_s
                took_s = await heard_again(talking, 20)
                assert lost_nodes(system) == []
                silent = system.team.nodes[0]
                silent.pause()
                found_s = await system.until(
                    lambda: system.node_is(silent.node_id, "offline"),
                    within_s=DETECTED_S + MARGIN_S,
                    what="it is found",
                )
                silent.go_on()
                await heard_again(talking, 20)
            await system.settle(talking)
            assert set(lost_nodes(system)) == {silent.node_id}
        assert jumped_s == pytest.approx(by_s, abs=60)
        assert took_s <= RECOVERED_S + MARGIN_S
        figures |= system.figures | {"jumped_s": by_s, "recovered_s": round(took_s, 2), "found_s": round(found_s, 1)}
