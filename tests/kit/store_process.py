"""A store of its own for one test, with a disk: killed and brought back on its port, emptied, made old, cut short."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis

from kit import processes
from kit.history import History
from kit.redis_servers import valkey_server
from lingua_state.embedded import EmbeddedServer, free_port, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class StoreProcess:
    """One Valkey on one port for the whole test, whatever happens to its process. ``restarts`` counts them.

    What is done to it is noted beside its directory, as ``NAME.jsonl``.
    """

    def __init__(self, directory: Path, *options: str, program: Path | None = None) -> None:
        self.directory = directory
        self.note = History(directory.with_name(f"{directory.name}.jsonl"), directory.name).note
        self._program = program or valkey_server()
        self.restarts = 0
        self._options = ("--enable-debug-command", "local", *options)
        self._port = free_port()
        self.server: EmbeddedServer = self._start()

    @property
    def url(self) -> str:
        """Tell where it is."""
        return self.server.url

    @property
    def port(self) -> int:
        """Tell its port."""
        return self._port

    def client(self) -> redis.Redis:
        """Open a plain client, as redis-cli is one."""
        return redis.Redis(port=self._port, decode_responses=True)

    def command(self, *words: object) -> Any:
        """Run one command."""
        if str(words[0]).upper() in ("FLUSHALL", "FLUSHDB"):
            self.note("flushed")
        with self.client() as client:
            return client.execute_command(*words)

    def kill(self) -> None:
        """Let it crash."""
        self.note("store_killed")
        self.server.process.kill()
        self.server.process.wait()

    def pause(self) -> None:
        """Stop it where it is."""
        self.note("store_paused")
        processes.pause(self.server.process.pid)

    def go_on(self) -> None:
        """Let a paused one go on."""
        processes.go_on(self.server.process.pid)

    def restart(self) -> None:
        """Start it again with what its disk holds."""
        self.note("store_started")
        self.server = self._start()
        self.restarts += 1

    def empty(self) -> None:
        """Take its data away; it must not run."""
        self.note("emptied")
        shutil.rmtree(self.directory)

    def copy(self, to: Path) -> None:
        """Keep a copy of its data as it is now."""
        shutil.copytree(self.directory, to)

    def bring_back(self, copy: Path) -> None:
        """Put an older copy in the place of its data; it must not run."""
        self.note("brought_back")
        shutil.rmtree(self.directory)
        shutil.copytree(copy, self.directory)

    def cut_tail(self, size_bytes: int) -> int:
        """Take the end of its append-only file away; return how much went. It must not run."""
        tails = sorted(self.directory.glob("appendonlydir/*.incr.aof"))
        size = tails[-1].stat().st_size
        gone = min(size, size_bytes)
        self.note("cut_tail", size_bytes=gone)
        with tails[-1].open("r+b") as tail:
            tail.truncate(size - gone)
        return gone

    def _start(self) -> EmbeddedServer:
        return start(self.directory, port=self._port, program=self._program, options=self._options)


@contextmanager
def store_process(directory: Path, *options: str, program: Path | None = None) -> Iterator[StoreProcess]:
    """Run one."""
    store = StoreProcess(directory, *options, program=program)
    try:
        yield store
    finally:
        store.go_on() if store.server.process.poll() is None else None
        store.server.stop()
