"""A store for the operator's tests, and an operator for each that asks for one."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from kit import operators
from kit.operators import Nodes
from kit.redis_servers import VALKEY, Server, start_server
from lingua_state.client import RedisSettings, Store, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kit.kube.bed import Bed
    from kit.operators import Thread


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one store for all operator tests; each has keys of its own."""
    server = start_server(VALKEY, tmp_path_factory.mktemp("valkey"))
    yield server
    server.process.stop()


@pytest.fixture
def prefix() -> str:
    """Name the keys of one test."""
    return f"t{secrets.token_hex(6)}"


@pytest.fixture
async def store(valkey: Server, prefix: str) -> AsyncIterator[Store]:
    """Open the store as a scheduler would."""
    store = await open_store(RedisSettings(url=valkey.process.url, prefix=prefix))
    yield store
    await store.close()


@pytest.fixture
def nodes(bed: Bed, namespace: str) -> Nodes:
    """Give the TranslationNodes of the test's namespace."""
    return Nodes(bed.api, namespace)


@pytest.fixture
def values(bed: Bed, namespace: str, valkey: Server, prefix: str) -> dict[str, str]:
    """Write the variables of an operator for the test's namespace."""
    return operators.environment(bed.kubeconfig, namespace, valkey.process.url, prefix)


@pytest.fixture
async def operator(values: dict[str, str]) -> AsyncIterator[Thread]:
    """Run an operator for the test's namespace."""
    async with operators.running(values) as running:
        yield running
