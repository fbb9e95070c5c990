"""Programs started by the command: each its own process, all ended together, the order of their start reversed.

A program leads a session of its own, so a Ctrl-C in the terminal reaches only the command, which then ends them one
after the other. What a program started itself is in that session, or has inherited a mark in its environment (some
programs write their title over their environment, some begin a session), and so is found when it was left behind. A
watcher does the same when the command itself is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lingua_client.errors import LinguaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

_TERM_GRACE_S: Final = 10.0
_POLL_S: Final = 0.05
_TAIL_CHARS: Final = 400
_MARK: Final = "LINGUA_PROGRAMS"
#: What the watcher is told when the command has ended its programs itself.
DONE: Final = "done"


@dataclass(slots=True)
class Program:
    """One program, running or not; ``log`` holds all it wrote."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    expected_end: bool = False

    @property
    def pid(self) -> int:
        """Tell the process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self.process.returncode is None

    def last_words(self) -> str:
        """Give the last line of the log, for a message about its end."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1][-_TAIL_CHARS:] if lines else "it wrote nothing"


@dataclass(slots=True)
class Programs:
    """The programs started so far, in order. ``folder`` takes their logs.

    ``linger_s`` is how long what they started themselves may outlive them before it is killed.
    """

    folder: Path
    linger_s: float = 3.0
    started: list[Program] = field(default_factory=list)
    mark: str = field(default_factory=lambda: f"{_MARK}={uuid.uuid4().hex}")
    _watcher: asyncio.subprocess.Process | None = None

    async def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Program:
        """Start a Python module or program of this installation (``arguments`` go to the interpreter)."""
        await self._watch()
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **environment, _MARK: self.mark.partition("=")[2]},
                start_new_session=True,
            )
        program = Program(name, process, log)
        self.started.append(program)
        await self._tell_watcher(str(program.pid))
        return program

    def check(self) -> None:
        """Say which program has ended though nobody asked it to.

        :raises LinguaError: with its exit code and its last line (``PROGRAM_ENDED``).
        """
        for program in self.started:
            if not program.running and not program.expected_end:
                raise LinguaError(
                    "PROGRAM_ENDED",
                    f"{program.name} ended with exit code {program.process.returncode}: {program.last_words()}",
                    f"Its log is {program.log}.",
                )

    async def first_end(self) -> None:
        """Return when any program has ended that was not killed on purpose."""
        running = [program.process for program in self.started if not program.expected_end]
        waits = [asyncio.ensure_future(process.wait()) for process in running]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def kill(self, program: Program) -> None:
        """End one program at once, as a power cut would."""
        program.expected_end = True
        with contextlib.suppress(ProcessLookupError):
            program.process.kill()
        await program.process.wait()

    async def stop(self) -> list[int]:
        """End all, the last started first, and give the ids of processes that had to be killed or were left behind."""
        # A second Ctrl-C must not leave the rest behind; every wait here is bounded.
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)
        stubborn = [program.pid for program in reversed(self.started) if not await self._end(program)]
        left = stubborn + await self._sweep()
        if self._watcher is not None:
            await self._tell_watcher(DONE)
            await self._watcher.wait()
        return left

    def alive(self) -> list[int]:
        """List the programs' processes that live, and those of what they started."""
        return processes_of(self.mark, {program.pid for program in self.started})

    async def _watch(self) -> None:
        """Start the process that ends the programs if this one is killed (:mod:`lingua_client.cli.watcher`)."""
        if self._watcher is None:
            self._watcher = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "lingua_client.cli.watcher", self.mark),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )

    async def _tell_watcher(self, word: str) -> None:
        if self._watcher is not None and self._watcher.stdin is not None:
            with contextlib.suppress(ConnectionError):
                self._watcher.stdin.write(f"{word}\n".encode())
                await self._watcher.stdin.drain()

    async def _end(self, program: Program) -> bool:
        if not program.running:
            return True
        with contextlib.suppress(ProcessLookupError):
            program.process.terminate()
        try:
            await asyncio.wait_for(program.process.wait(), _TERM_GRACE_S)
        except TimeoutError:
            await self.kill(program)
            return False
        return True

    async def _sweep(self) -> list[int]:
        """Wait for what the programs started themselves, then kill the rest."""
        deadline = time.monotonic() + self.linger_s
        # Nobody tells when a grandchild ends.
        while (left := self.alive()) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


def processes_of(mark: str, sessions: Collection[int] = ()) -> list[int]:
    """List live processes with ``mark`` in their environment or in one of ``sessions`` (empty without a /proc)."""
    return [pid for pid in _all_pids() if _session_of(pid) in sessions or _is_marked(pid, mark.encode())]


def _all_pids() -> list[int]:
    proc = Path("/proc")
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()] if proc.is_dir() else []


def _is_marked(pid: int, mark: bytes) -> bool:
    # A process that has ended and was not yet waited for has no environment any more (proc(5)).
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _session_of(pid: int) -> int | None:
    """Give the session of a process; None when it has ended."""
    try:
        # The name may hold spaces and brackets; after the last one come state, parent, group, session (proc(5)).
        state, _parent, _group, session = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
    except (OSError, ValueError):
        return None
    return None if state == "Z" else int(session)


def free_port() -> int:
    """Find a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def wait_until(
    happened: Callable[[], Awaitable[bool]], what: str, programs: Programs, timeout_s: float = 30.0
) -> None:
    """Ask again and again whether something happened.

    :raises LinguaError: a program ended meanwhile, or the time is over (``NOT_READY``).
    """
    deadline = time.monotonic() + timeout_s
    while not await happened():
        programs.check()
        if time.monotonic() > deadline:
            raise LinguaError("NOT_READY", f"{what} did not happen within {timeout_s:.0f} s", f"See {programs.folder}.")
        await asyncio.sleep(_POLL_S)
