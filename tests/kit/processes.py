"""Look at processes from outside."""

from __future__ import annotations

import psutil


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> list[int]:
    """Name every process that this one started, and theirs."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
