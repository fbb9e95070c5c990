"""Nodes as processes that can be killed, paused and brought back, and the history that each of them writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kit import processes
from kit.history import History, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.history import Event

_PROGRAM = Path(__file__).with_name("node_program.py")


@dataclass(slots=True)
class NodeProcess:
    """One node."""

    node_id: str
    history: Path
    command: list[str]
    capacity: int
    process: subprocess.Popen[bytes]

    def events(self, kind: str) -> list[Event]:
        """Read what happened, of one kind."""
        return [line for line in read(self.history) if line["event"] == kind]

    def kill(self) -> None:
        """End it without a word; its history says when."""
        History(self.history, self.node_id).note("killed")
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Stop it where it is."""
        processes.pause(self.process.pid)

    def go_on(self) -> None:
        """Let a paused one go on."""
        processes.go_on(self.process.pid)

    def start(self) -> None:
        """Start it again under the same id."""
        self.process = _launch(self.command, self.history)

    def terminate(self) -> None:
        """Ask it to end."""
        if self.process.poll() is None:
            self.go_on()
            self.process.terminate()

    def stop(self) -> None:
        """End it in an orderly way."""
        self.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass(slots=True)
class Fleet:
    """All nodes of a run."""

    nodes: list[NodeProcess] = field(default_factory=list)

    def executions(self) -> dict[str, list[int]]:
        """Tell which attempts of each job reached a node."""
        found: dict[str, list[int]] = defaultdict(list)
        for node in self.nodes:
            for event in node.events("job"):
                found[event["job_id"]].append(event["attempt"])
        return found

    def stop(self) -> None:
        """End all of them, at the same time."""
        for node in self.nodes:
            node.terminate()
        for node in self.nodes:
            node.stop()

    def working(self) -> list[NodeProcess]:
        """List the nodes that had a job and did not answer it yet, busiest first."""
        owed = {node.node_id: len(node.events("job")) - len(node.events("result")) for node in self.nodes}
        busy = [node for node in self.nodes if owed[node.node_id] > 0 and node.process.poll() is None]
        return sorted(busy, key=lambda node: -owed[node.node_id])


@contextmanager
def fleet(directory: Path, url: str, count: int, **options: object) -> Iterator[Fleet]:
    """Start ``count`` nodes, without waiting for them; ``options`` as node_program.py has them (``delay_ms=100``)."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Fleet()
    try:
        for number in range(count):
            made.nodes.append(start_node(directory, url, f"node-{number}", **options))
        yield made
    finally:
        made.stop()


def start_node(directory: Path, url: str, node_id: str, *, before: object = (), **options: object) -> NodeProcess:
    """Start one node; ``before`` are words before its command (``env``), which become it."""
    assert isinstance(before, tuple)
    history = directory / f"{node_id}.jsonl"
    command = [*before, sys.executable, str(_PROGRAM), url, node_id, str(history)]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        command += [flag] if value is True else [flag, str(value)]
    capacity = options.get("capacity", 4)
    assert isinstance(capacity, int)
    return NodeProcess(node_id, history, command, capacity, _launch(command, history))


def _launch(command: list[str], history: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(_PROGRAM.parents[1])}
    with history.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)
