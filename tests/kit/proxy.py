"""A TCP proxy that breaks connections on purpose, and counts what it did: a test proves that the fault happened."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import AsyncIterator

#: A command may come in two pieces.
_LOOKED_BACK = 4_096


class Proxy:
    """Stands between a client and a server. Faults are switched by attribute while it runs.

    ``lose_replies``: so many chunks of replies are thrown away, each with its connection, after the server has acted.
    ``hold_replies``: replies are kept back and the connections stay open, as from a half-open peer.
    ``hole``: what either side says is swallowed and the connections stay open, as in a network that drops packets.
    ``delay_s``: everything that is said arrives so much later.
    ``trap``: what is said that matches it arrives, and from then on replies are held: its sender never learns what it
    did. ``caught`` is the match.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = 0
        self.lose_replies = 0
        self.hold_replies = False
        self.hole = False
        self.delay_s = 0.0
        self.trap: re.Pattern[bytes] | None = None
        self.caught: re.Match[bytes] | None = None
        self.lost = 0
        self.held = 0
        self.slowed = 0
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> int:
        """Reset every connection now; return how many sides that were."""
        writers = list(self._writers)
        for writer in writers:
            writer.transport.abort()
        return len(writers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        self.connections += 1
        try:
            there, back = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, back}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(self._watched(reader), back, replies=False))
                group.create_task(self._carry(_chunks(there), writer, replies=True))
        except* (OSError, EOFError):
            pass
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()

    async def _watched(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """Read what is said, and look whether it walks into the trap before it goes on."""
        before = b""
        async for data in _chunks(reader):
            if self.trap is not None and (match := self.trap.search(before + data)):
                self.caught, self.trap = match, None
                self.hold_replies = True
            before = (before + data)[-_LOOKED_BACK:] if self.trap is not None else b""
            yield data

    async def _carry(self, said: AsyncIterator[bytes], writer: asyncio.StreamWriter, *, replies: bool) -> None:
        async for data in said:
            if replies and self.lose_replies > 0:
                self.lose_replies -= 1
                self.lost += 1
                break
            if self.hole or (replies and self.hold_replies):
                self.held += 1
                continue
            if self.delay_s:
                self.slowed += 1
                await asyncio.sleep(self.delay_s)
            writer.write(data)
            await writer.drain()
        raise EOFError


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while data := await reader.read(65_536):
        yield data


@contextlib.asynccontextmanager
async def proxy_to(port: int, host: str = "127.0.0.1", at: int = 0) -> AsyncIterator[Proxy]:
    """Run a proxy on port ``at``; 0: on a free one."""
    proxy = Proxy(host, port)
    tasks: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await proxy.serve(reader, writer)

    server = await asyncio.start_server(accepted, "127.0.0.1", at)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await asyncio.gather(*tasks, return_exceptions=True)
