"""The store dies, comes back old or empty, is slow, forgets, refuses (rows F15 to F18, F23 to F27)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.rig import rig

if TYPE_CHECKING:
    from pathlib import Path

    from kit.crowd import Crowd
    from kit.rig import Rig

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

#: How long after the store is back everybody must be served again (issue of many instances).
RECOVERED_S = 5.0
#: What else may take time on a busy machine.
MARGIN_S = 5.0


async def recovered(system: Rig, talking: Crowd) -> float:
    """Wait until answers come again; return how long that took."""
    began = time.monotonic()
    heard = talking.answered
    await eventually(lambda: talking.answered > heard + 3, within_s=60, what="answers come again")
    took = time.monotonic() - began
    system.figures["recovered_s"] = round(took, 2)
    return took


@pytest.mark.row("F15")
async def test_the_store_is_killed_and_comes_back_with_its_disk(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            for _ in range(3):
                system.disk.kill()
                await asyncio.sleep(system.source.random() * 2)
                system.disk.restart()
                assert await recovered(system, talking) <= RECOVERED_S + MARGIN_S
        await system.settle(talking)
        assert system.disk.restarts == 3
        figures |= system.figures


@pytest.mark.row("F16")
@pytest.mark.parametrize("cut_bytes", [1, 400, 20_000])
async def test_the_store_loses_the_end_of_what_it_wrote(
    tmp_path: Path, seed: int, figures: dict[str, Any], cut_bytes: int
) -> None:
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            system.disk.kill()
            gone = system.disk.cut_tail(cut_bytes)
            system.disk.restart()
            assert gone == cut_bytes
            assert await recovered(system, talking) <= RECOVERED_S + MARGIN_S
        await system.settle(talking)
        figures |= system.figures | {"cut_bytes": gone}


@pytest.mark.row("F17")
@pytest.mark.parametrize("old_s", [1, 5, 30])
async def test_the_store_comes_back_as_it_was_some_time_ago(
    tmp_path: Path, seed: int, figures: dict[str, Any], old_s: int
) -> None:
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            system.disk.copy(tmp_path / "older")
            await asyncio.sleep(old_s)
            system.disk.kill()
            system.disk.bring_back(tmp_path / "older")
            system.disk.restart()
            assert await recovered(system, talking) <= RECOVERED_S + MARGIN_S
        await system.settle(talking)
        figures |= system.figures


@pytest.mark.row("F18")
async def test_the_store_comes_back_empty(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            system.disk.kill()
            system.disk.empty()
            system.disk.restart()
            assert await recovered(system, talking) <= RECOVERED_S + MARGIN_S
        await system.settle(talking)
        figures |= system.figures


@pytest.mark.row("F18")
async def test_everything_in_the_store_is_flushed(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            system.disk.command("FLUSHALL")
            assert await recovered(system, talking) <= RECOVERED_S + MARGIN_S
        await system.settle(talking)
        figures |= system.figures


@pytest.mark.row("F23")
async def test_the_store_forgets_its_scripts_all_the_time(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    flushes = 0
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            end = time.monotonic() + 10
            with system.disk.client() as client:
                while time.monotonic() < end:
                    client.execute_command("SCRIPT", "FLUSH")
                    flushes += 1
                    await asyncio.sleep(0.005)
        await system.settle(talking)
        assert flushes > 100
        assert talking.broken() == []
        figures |= system.figures | {"flushes": flushes}


@pytest.mark.row("F24")
async def test_replies_of_the_store_are_lost(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    async with rig(tmp_path, seed, through=True) as system:
        way = system.way
        assert way is not None
        async with system.people() as talking:
            for _ in range(40):
                way.lose_replies += 1
                await asyncio.sleep(0.25)
        await system.settle(talking)
        assert way.lost >= 30
        executions = system.team.executions()
        assert all(len(tries) == 1 for tries in executions.values()), "a job was done twice"
        figures |= system.figures | {"replies_lost": way.lost, "jobs": len(executions)}


@pytest.mark.row("F25")
@pytest.mark.parametrize(
    "fault", [("DEBUG", "SLEEP", "2"), ("CLIENT", "PAUSE", "3000", "WRITE")], ids=["sleep", "pause"]
)
async def test_the_store_is_slow_for_some_seconds(
    tmp_path: Path, seed: int, figures: dict[str, Any], fault: tuple[str, ...]
) -> None:
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            await asyncio.to_thread(system.disk.command, *fault)
            assert await recovered(system, talking) <= RECOVERED_S + MARGIN_S
            assert {node["status"] for node in system.schedulers[0].ask("/api/v1/nodes")[1]["nodes"]} == {"ready"}
        await system.settle(talking)
        figures |= system.figures


REFUSALS = {
    "memory is full": ((("CONFIG", "SET", "maxmemory", "1"),), (("CONFIG", "SET", "maxmemory", "0"),)),
    "too few replicas": (
        (("CONFIG", "SET", "min-replicas-to-write", "3"),),
        (("CONFIG", "SET", "min-replicas-to-write", "0"),),
    ),
    "it has become a replica": ((("REPLICAOF", "127.0.0.1", "1"),), (("REPLICAOF", "NO", "ONE"),)),
    "the password was changed": (
        (("ACL", "SETUSER", "default", "resetpass", ">other"), ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")),
        (("ACL", "SETUSER", "default", "nopass"),),
    ),
}


@pytest.mark.row("F26")
@pytest.mark.parametrize("why", REFUSALS)
async def test_the_store_refuses_to_write(tmp_path: Path, seed: int, figures: dict[str, Any], why: str) -> None:
    breaks, heals = REFUSALS[why]
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            with system.disk.client() as admin:
                admin.ping()
                for words in breaks:
                    admin.execute_command(*words)
                await system.until(
                    lambda: all(scheduler.ask("/health/ready")[0] == 503 for scheduler in system.schedulers),
                    within_s=30, what="no scheduler says that it is ready",
                )  # fmt: skip
                assert all(scheduler.ask("/health/live")[0] == 200 for scheduler in system.schedulers)
                for words in heals:
                    admin.execute_command(*words)
            assert await recovered(system, talking) <= RECOVERED_S + MARGIN_S
        await system.settle(talking)
        await system.until(
            lambda: all(scheduler.is_ready() for scheduler in system.schedulers),
            within_s=RECOVERED_S + MARGIN_S, what="all are ready again",
        )  # fmt: skip
        figures |= system.figures
