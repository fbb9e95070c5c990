"""Measure how much of the machine this node takes, from /proc; zeros where there is no /proc.

The processor's share is that of this process and all it started: a busy neighbour on the same machine must not take a
node out of selection that could work.
"""

from __future__ import annotations

import os
from pathlib import Path

from lingua_wire.node_messages import Hardware, ResourceUsage

_PROC = Path("/proc")


class ResourceMeter:
    """Remember the last reading of the processor's clock, since load is what lies between two readings."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._last = self._own_ticks(), self._machine_ticks()

    def usage(self, running_jobs: int) -> ResourceUsage:
        """Read the load since the last call."""
        own, machine = self._own_ticks(), self._machine_ticks()
        last_own, last_machine = self._last
        self._last = own, machine
        share = (own - last_own) / (machine - last_machine) if machine > last_machine else 0.0
        available, whole = self._memory_kib()
        return ResourceUsage(
            cpu_percent=round(min(100.0, max(0.0, 100 * share)), 1),
            mem_percent=round(100 * (1 - available / whole), 1) if whole else 0.0,
            running_jobs=running_jobs,
        )

    def hardware(self) -> Hardware:
        """Name the processors and the memory of the machine."""
        _, whole = self._memory_kib()
        return Hardware(cpu_cores=os.cpu_count() or 1, memory_gb=round(whole / 1024**2, 1))

    def _machine_ticks(self) -> int:
        """Count the ticks of all processors, busy and idle."""
        try:
            return sum(int(part) for part in (self._proc / "stat").read_text().partition("\n")[0].split()[1:9])
        except (OSError, ValueError):
            return 0

    def _own_ticks(self) -> int:
        """Count the ticks that this process and its descendants took, those that have ended included."""
        ticks, left = 0, ["self"]
        while left:
            pid = left.pop()
            try:
                # After the name, which may hold spaces: utime, stime, cutime, cstime are fields 14 to 17 (proc(5)).
                fields = (self._proc / pid / "stat").read_text().rpartition(")")[2].split()
                ticks += sum(int(field) for field in fields[11:15])
                left += self._children(pid)
            except (OSError, ValueError):
                continue
        return ticks

    def _children(self, pid: str) -> list[str]:
        found: list[str] = []
        for task in (self._proc / pid / "task").iterdir():
            found += (task / "children").read_text().split()
        return found

    def _memory_kib(self) -> tuple[int, int]:
        try:
            lines = (self._proc / "meminfo").read_text().splitlines()
            found = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
        except (OSError, ValueError, IndexError):
            return 0, 0
        return found.get("MemAvailable", 0), found.get("MemTotal", 0)
