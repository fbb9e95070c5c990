"""What each process of a fault run did, as JSON lines: written while it runs, read by the checker afterwards.

A line has ``at_s`` (the machine's monotonic clock, the same for all its processes), ``process``, ``event`` and ids.
There is no speech and no text in it: what was said is told by a digest.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Event: TypeAlias = dict[str, Any]


class History:
    """The history of one process. Lines are appended whole, so a killed process loses none that it wrote."""

    def __init__(self, path: Path, process: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._process = process
        # A plain descriptor, open from the start: a process that runs out of descriptors can go on writing.
        self._sink = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, event: str, **more: Any) -> None:
        """Append a line."""
        line = {"at_s": time.monotonic(), "process": self._process, "event": event} | more
        os.write(self._sink, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Write no more."""
        os.close(self._sink)


def read(path: Path) -> list[Event]:
    """Read one history; a last line that was cut off is left out."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


@dataclass(slots=True)
class Recorded:
    """All that was recorded of one run: ``events`` in the order of time, ``snapshots`` of the store likewise, and the
    lines of each log file by its name."""

    events: list[Event] = field(default_factory=list)
    snapshots: list[Event] = field(default_factory=list)
    logs: dict[str, list[str]] = field(default_factory=dict)

    def of(self, *kinds: str) -> Iterator[Event]:
        """List the events of some kinds."""
        return (event for event in self.events if event["event"] in kinds)

    def calls(self, *scripts: str) -> Iterator[Event]:
        """List the calls of some scripts that were answered."""
        return (event for event in self.of("call") if event["script"] in scripts)
