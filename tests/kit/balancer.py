"""One address before several schedulers, as a Kubernetes Service is: each connection goes to one that listens."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_BLOCK = 65_536


class _Line:
    """One connection that is carried."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.silent = False
        self.swallowed = 0
        self._writers = writers

    def cut(self) -> None:
        """Reset both sides."""
        for writer in self._writers:
            writer.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one direction to its end."""
        while data := await reader.read(_BLOCK):
            if self.silent:
                self.swallowed += 1
                continue
            writer.write(data)
            await writer.drain()
        # The other direction may still carry a close frame's answer.
        if writer.can_write_eof():
            writer.write_eof()


class Balancer:
    """Carries connections to a random one of ``ready()``; what is open stays where it is."""

    def __init__(self, ready: Callable[[], list[str]], source: random.Random | None = None) -> None:
        self._ready = ready
        self._source = source or random.Random()
        self.url = ""
        self.connections = 0
        self.refused = 0
        #: When each connection came to one that listened (monotonic).
        self.carried_s: list[float] = []
        self._lines: set[_Line] = set()

    def cut(self, share: float, source: random.Random) -> int:
        """Reset about so many of the connections, chosen by chance, and return how many that were."""
        chosen = [line for line in list(self._lines) if source.random() < share]
        for line in chosen:
            line.cut()
        return len(chosen)

    def silence(self, share: float, source: random.Random) -> Callable[[], int]:
        """Let about so many of the connections stay open and carry nothing any more, for as long as they last.

        :returns: what tells how much they swallowed.
        """
        chosen = [line for line in self._lines if source.random() < share]
        for line in chosen:
            line.silent = True
        return lambda: sum(line.swallowed for line in chosen)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        self.connections += 1
        there = await self._connect()
        if there is None:
            self.refused += 1
            writer.transport.abort()
            return
        self.carried_s.append(time.monotonic())
        back, out = there
        line = _Line(out, writer)
        self._lines.add(line)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(line.carry(reader, out))
                group.create_task(line.carry(back, writer))
        except* (OSError, EOFError):
            pass
        finally:
            self._lines.discard(line)
            line.cut()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        urls = self._ready()
        for url in self._source.sample(urls, len(urls)):
            parts = urlsplit(url)
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(parts.hostname, parts.port)
        return None


@contextlib.asynccontextmanager
async def balancer(ready: Callable[[], list[str]], source: random.Random | None = None) -> AsyncIterator[Balancer]:
    """Run one on a free port; ``ready`` is asked at each new connection."""
    made = Balancer(ready, source)
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
