"""A real store for the registry of instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.redis_servers import VALKEY, start_server
from lingua_state.client import RedisSettings, Store, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="module")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start_server(VALKEY, tmp_path_factory.mktemp("peers"))
    yield server.url
    server.process.stop()


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = await open_store(RedisSettings(url=store_url))
    await opened.call("FLUSHALL")
    yield opened
    await opened.close()
