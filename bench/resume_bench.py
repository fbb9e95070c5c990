"""How long people are without a connection while schedulers are replaced, beside the time a bare connection takes."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import load
import processes
import psutil
from rows import Row, percentile, row

from lingua_client import LinguaError, Renewed, Resumed, Session, SessionSettings, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SESSIONS = 100
CONNECTIONS = 200
_CHUNK = bytes(3_200)
_BLOCK = 65_536
_END_S = 40.0
_PLAIN = SessionSettings(connect_timeout_s=30.0)


def gaps() -> list[Row]:
    """Measure ``rolling_gap_p50_ms`` and ``rolling_gap_p99_ms``: two schedulers replaced, one after the other."""
    with tempfile.TemporaryDirectory(prefix="lingua-bench-") as folder, ExitStack() as stack:
        store = stack.enter_context(processes.store(Path(folder)))
        found = asyncio.run(_roll(stack, store))
    with processes.echo() as (_, url):
        bare = asyncio.run(_connections(url))
    if len(found) < SESSIONS or math.inf in found:
        raise RuntimeError(f"{found.count(math.inf)} sessions were lost, {len(found)} moves of {SESSIONS} sessions")
    return [
        row(f"rolling_gap_p{share}_ms", percentile(found, share / 100), "ms", percentile(bare, share / 100), len(found))
        for share in (50, 99)
    ]


async def _roll(stack: ExitStack, store: str) -> list[float]:
    """Replace both schedulers while people send; give the time each was without a connection."""
    old = [stack.enter_context(processes.scheduler(store)) for _ in range(2)]
    front = _Front([url for _, url in old])
    gaps_ms: list[float] = []
    async with front.serving() as url, AsyncExitStack() as sessions:
        opened = [await sessions.enter_async_context(_talker(url, gaps_ms)) for _ in range(SESSIONS)]
        for process, leaving in old:
            _, new = await asyncio.to_thread(stack.enter_context, processes.scheduler(store))
            front.urls = [each for each in front.urls if each != leaving] + [new]
            process.terminate()
            await asyncio.to_thread(_await_end, process)
        if any(session.extensions == frozenset() for session in opened):
            raise RuntimeError("a session was not extended")
    return gaps_ms


@asynccontextmanager
async def _talker(url: str, gaps_ms: list[float]) -> AsyncIterator[Session]:
    async with connect(url, source="en", target="es", settings=_PLAIN) as session:
        tasks = [asyncio.create_task(_send(session)), asyncio.create_task(_hear(session, gaps_ms))]
        yield session
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(session: Session) -> None:
    while True:
        await session.send(_CHUNK)
        await asyncio.sleep(0.1)


async def _hear(session: Session, gaps_ms: list[float]) -> None:
    with contextlib.suppress(LinguaError):
        async for event in session:
            if isinstance(event, Renewed):
                gaps_ms.append(math.inf)
            elif isinstance(event, Resumed):
                gaps_ms.append(event.gap_ms)


async def _connections(url: str) -> list[float]:
    taken: list[float] = []
    async with load.http() as client:
        for _ in range(CONNECTIONS):
            began_s = time.perf_counter()
            socket = await load.dial(client, f"{url}/messages")
            taken.append((time.perf_counter() - began_s) * 1000)
            await socket.close()
    return taken


def _await_end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.wait(_END_S)


class _Front:
    """One address before the schedulers, as a Kubernetes Service is: new connections go to ``urls``."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = urls

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on a free port; give the address."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = urlsplit(random.choice(self.urls))
        out: asyncio.StreamWriter | None = None
        try:
            back, out = await asyncio.open_connection(there.hostname, there.port)
            copies = [asyncio.create_task(_copy(reader, out)), asyncio.create_task(_copy(back, writer))]
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            for copy in copies:
                copy.cancel()
        except OSError:
            pass
        finally:
            for end in (writer, out):
                if end is not None:
                    end.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_BLOCK):
            writer.write(data)
            await writer.drain()
