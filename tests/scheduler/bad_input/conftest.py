"""One scheduler that everything bad is thrown at; afterwards it must have ended well, with a clean log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.clients import Client
from kit.nodes import Node
from kit.proof import utterance
from kit.schedulers import SchedulerProcess, cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

EN, ES = "en", "es"


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchedulerProcess]:
    """A scheduler that is impatient with handshakes."""
    with cluster(tmp_path_factory.mktemp("bad"), 1, http_handshake_ms=700, http_ping_ms=4_000) as running:
        yield running.schedulers[0]


@pytest.fixture
async def bystander(scheduler: SchedulerProcess) -> AsyncIterator[Client]:
    """Somebody else's session, with a node: both must be served as if nothing happened."""
    async with Node(scheduler.url, (EN,), (ES,)) as node, Client(scheduler.url) as client:
        await client.open(EN, ES)
        yield client
        audio = utterance()
        await client.proven(await client.say(audio), audio)
        assert not client.all("error")
        assert not node.all("error")
