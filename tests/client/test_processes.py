"""Programs started by the command: ended in order, found when they leave something behind, explained when they die."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually
from lingua_client.cli.processes import Programs, free_port, processes_of
from lingua_client.cli.stack import Plan, Stack
from lingua_client.errors import LinguaError

if TYPE_CHECKING:
    from pathlib import Path

SLEEPER = "import time; time.sleep(600)"
#: Its child leads a session of its own, as the programs of a node's engines do.
PARENT = (
    "import subprocess, sys, time\n"
    f"subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], start_new_session=True)\n"
    "time.sleep(600)"
)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_stopped_program_is_gone(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    program = await programs.start("one", ["-c", SLEEPER], {})
    assert alive(program.pid)
    assert await programs.stop() == []
    assert not alive(program.pid)


async def test_a_child_that_its_parent_left_behind_is_found_and_ended(tmp_path: Path) -> None:
    programs = Programs(tmp_path, linger_s=0.1)
    program = await programs.start("parent", ["-c", PARENT], {})
    children = await eventually(lambda: [pid for pid in programs.alive() if pid != program.pid])
    assert await programs.stop() == children
    await eventually(lambda: programs.alive() == [])


async def test_a_killed_program_is_no_surprise_but_one_that_ends_is(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    victim = await programs.start("victim", ["-c", SLEEPER], {})
    await programs.kill(victim)
    programs.check()
    dying = await programs.start("dying", ["-c", "import sys; sys.exit('my last words')"], {})
    await dying.process.wait()
    with pytest.raises(LinguaError, match=r"dying ended with exit code 1: my last words") as ended:
        programs.check()
    assert ended.value.code == "PROGRAM_ENDED"
    assert str(tmp_path) in ended.value.remedy


async def test_the_store_starts_and_leaves_nothing(tmp_path: Path) -> None:
    stack = Stack(Plan(), Programs(tmp_path))
    await stack.start_store()
    assert stack.programs.started[0].pid in stack.programs.alive()
    assert len(stack.programs.alive()) >= 2
    assert await stack.programs.stop() == []
    assert stack.programs.alive() == []


async def test_a_store_that_cannot_start_is_explained(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    taken = await programs.start("store", ["-m", "lingua_client.cli.store", "/proc/nowhere", str(free_port())], {})
    assert await taken.process.wait() != 0
    with pytest.raises(LinguaError):
        programs.check()


def test_free_ports_are_free() -> None:
    assert 1024 < free_port() < 65536


#: Starts a program and what that starts, says so, and waits to be killed.
COMMAND = f"""
import asyncio, pathlib, sys
from lingua_client.cli.processes import Programs

async def main():
    programs = Programs(pathlib.Path(sys.argv[1]))
    await programs.start("parent", ["-c", {PARENT!r}], {{}})
    while len(programs.alive()) < 2:
        await asyncio.sleep(0.05)
    print(programs.mark, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_command_that_is_killed_leaves_no_program_behind(tmp_path: Path) -> None:
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert command.stdout is not None
    mark = (await command.stdout.readline()).decode().strip()
    assert len(processes_of(mark)) == 2
    command.kill()
    await command.wait()
    await eventually(lambda: processes_of(mark) == [])


async def test_the_watcher_ends_with_the_programs(tmp_path: Path) -> None:
    programs = Programs(tmp_path)
    await programs.start("one", ["-c", SLEEPER], {})
    watcher = programs._watcher
    assert watcher is not None
    assert watcher.returncode is None
    await programs.stop()
    assert watcher.returncode == 0
