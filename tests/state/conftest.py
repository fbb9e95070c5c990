"""A store on each of the three real servers: a test that takes ``store`` runs three times."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from kit.redis_servers import ALL, VALKEY, Server, start_server
from lingua_state.client import RedisSettings, Store, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """The servers that were needed so far, by kind; each is started when the first test wants it."""
    running = _Servers(tmp_path_factory)
    with running.stack:
        yield running


@pytest.fixture(params=ALL)
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Server:
    """One server, emptied. A test that takes it runs on all three."""
    found = servers[request.param]
    found.flush()
    return found


@pytest.fixture
def valkey(servers: dict[str, Server]) -> Server:
    """Valkey, emptied, for what does not depend on the kind of server."""
    found = servers[VALKEY]
    found.flush()
    return found


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    """A store on an empty server. A test that takes it runs on all three."""
    opened = await open_store(RedisSettings(url=server.url, cell=server.cell))
    yield opened
    await opened.close()


@pytest.fixture
async def valkey_store(valkey: Server) -> AsyncIterator[Store]:
    """A store on an empty Valkey, for long tests that need only one kind of server."""
    opened = await open_store(RedisSettings(url=valkey.url, cell=valkey.cell))
    yield opened
    await opened.close()


class _Servers(dict[str, Server]):
    def __init__(self, directories: pytest.TempPathFactory) -> None:
        super().__init__()
        self._directories = directories
        self.stack = ExitStack()

    def __missing__(self, kind: str) -> Server:
        self[kind] = start_server(kind, self._directories.mktemp(kind))
        self.stack.callback(self[kind].process.stop)
        return self[kind]
