"""Real samples and a small real scheduler for the tests of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from kit.samples import EXAMPLES, Sample, read_sample
from kit.small_scheduler import SmallScheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def scheduler() -> AsyncIterator[SmallScheduler]:
    small = SmallScheduler()
    app = web.Application()
    app.router.add_get("/ws/node", small.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    small.url = f"ws://127.0.0.1:{port}/ws/node"
    yield small
    for line in small.lines:
        await line.socket.close()
    await runner.cleanup()


@pytest.fixture(scope="session")
def english_samples() -> list[Sample]:
    return [
        read_sample(path) for path in sorted((EXAMPLES / "speech").glob("*.wav")) if not path.stem.startswith("es-")
    ]


@pytest.fixture(scope="session")
def spanish_samples() -> list[Sample]:
    return [read_sample(path) for path in sorted((EXAMPLES / "speech").glob("es-*.wav"))]


@pytest.fixture(scope="session")
def sentences() -> Path:
    return EXAMPLES / "domain" / "travel.txt"


@pytest.fixture(scope="session")
def spanish_phrases() -> Path:
    return EXAMPLES / "phrasebook" / "es.txt"
