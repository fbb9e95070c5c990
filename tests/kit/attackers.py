"""Programs that obey words on their stdin: clients that mean no good (hostile.py), and very many that say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_KIT = Path(__file__).parent
_ANSWER_S = 120.0


class Program:
    """One such process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def say(self, word: str) -> None:
        """Give it a word."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self._process.stdin.drain()

    async def ask(self, word: str) -> dict[str, Any]:
        """Give it a word, and wait for its answer."""
        await self.say(word)
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _ANSWER_S)
        return dict(json.loads(line))


class Attackers:
    """Some clients of one kind. ``told`` is what happened to them, in all rounds together."""

    def __init__(self, program: Program) -> None:
        self.told: Counter[str] = Counter()
        self._program = program

    async def begin(self) -> None:
        """Let them act."""
        await self._program.say("on")

    async def stop(self) -> Counter[str]:
        """Let them stop; tell what happened since they began."""
        happened = Counter(await self._program.ask("off"))
        self.told += happened
        return happened


@contextlib.asynccontextmanager
async def program(name: str, *arguments: str) -> AsyncIterator[Program]:
    """Start one of the programs beside this file."""
    pipe = asyncio.subprocess.PIPE
    environment = os.environ | {"PYTHONPATH": str(_KIT.parent)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_KIT / name), *arguments, stdin=pipe, stdout=pipe, env=environment
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def attackers(kind: str, url: str, count: int, source: str = "") -> AsyncIterator[Attackers]:
    """Start ``count`` of them, which wait for the word; ``source`` is the address they come from."""
    async with program("hostile.py", kind, url, str(count), *([source] if source else [])) as started:
        yield Attackers(started)
