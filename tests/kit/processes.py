"""Look at processes from outside, stop them where they are and let them go on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from kit.eventually import eventually_sync


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> list[int]:
    """Name every process that this one started, and theirs."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def pause(pid: int) -> None:
    """Stop a process where it is, and wait until all its threads stand: on a busy machine they go on for a while."""
    os.kill(pid, signal.SIGSTOP)
    threads = Path(f"/proc/{pid}/task")
    eventually_sync(lambda: all(map(_stands, threads.iterdir())), what=f"{pid} stands")


def go_on(pid: int) -> None:
    """Let a paused process go on."""
    os.kill(pid, signal.SIGCONT)


def _stands(thread: Path) -> bool:
    try:
        told = (thread / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True  # it has ended meanwhile
    # After the name, which may hold anything, comes the state: T is stopped (proc(5)).
    return told.rpartition(") ")[2].startswith(("T", "Z", "X"))
