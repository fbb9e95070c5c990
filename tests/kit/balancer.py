"""One address before several schedulers, as a Kubernetes Service is: each connection goes to one that listens."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_BLOCK = 65_536


class Balancer:
    """Carries connections to a random one of ``ready()``; what is open stays where it is."""

    def __init__(self, ready: Callable[[], list[str]], source: random.Random | None = None) -> None:
        self._ready = ready
        self._source = source or random.Random()
        self.url = ""
        self.connections = 0
        self.refused = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        self.connections += 1
        there = await self._connect()
        if there is None:
            self.refused += 1
            writer.transport.abort()
            return
        back, out = there
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_carry(reader, out))
                group.create_task(_carry(back, writer))
        except* (OSError, EOFError):
            pass
        finally:
            out.transport.abort()
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        urls = self._ready()
        for url in self._source.sample(urls, len(urls)):
            parts = urlsplit(url)
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(parts.hostname, parts.port)
        return None


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_BLOCK):
        writer.write(data)
        await writer.drain()
    # The other direction may still carry a close frame's answer.
    if writer.can_write_eof():
        writer.write_eof()


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
