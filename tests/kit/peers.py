"""Instances as far as peers see them: real sockets and a real registry, with a list where the carrier would be."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from lingua_scheduler.metrics import Metrics
from lingua_scheduler.peers.hub import PATH, Peers
from lingua_scheduler.settings import PeerSettings
from lingua_scheduler.work import Delivery, Recall, Refusal, Said
from lingua_state import instances
from lingua_state.models import Affinity, Assigned, EndedJob, JobStatus, LostJob
from lingua_wire.node_messages import JobAck, JobResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lingua_scheduler.peers.envelope import Item
    from lingua_scheduler.work import Notice
    from lingua_state.client import Store

AUDIO = bytes(range(256)) * 100
DELIVERY = Delivery("job-1", "a", 2, "node-1", "inc-1", {"src_lang": "en", "utterance_index": 3}, AUDIO, 2000)
ACK = JobAck(job_id="job-1", attempt_id=2, node_id="node-1", session_id="s-1", trace_id="t-1")
RESULT = JobResult(
    job_id="job-1",
    attempt_id=2,
    node_id="node-1",
    session_id="s-1",
    trace_id="t-1",
    utterance_index=3,
    success=True,
    text_asr="héllo",
    text_translated="hola",
    audio_follows=True,
    tts_format="pcm16",
)
ITEMS: list[Item] = [
    DELIVERY,
    Refusal("job-1", 2, "node_gone"),
    Recall("job-1", 2, "node-1", "cancelled"),
    Said("job-1", 2, "node-1", "inc-1", ACK),
    Said("job-1", 2, "node-1", "inc-1", RESULT, AUDIO),
    Said("job-1", 2, "node-1", "inc-1", RESULT, b""),
    Assigned("job-1", "s-1", "a", 3, "node-2", "inc-2", "b", True, Affinity.SESSION, 1_700_000_000_000, "node-1"),
    LostJob("job-1", "s-1", "a", 2, "node-1", JobStatus.PENDING, "node_lost"),
    EndedJob("job-1", "s-1", "a", "NO_AVAILABLE_NODE"),
]


class Sides:
    """Keeps what arrives; stands where the carrier stands."""

    def __init__(self) -> None:
        self.received: list[Item] = []
        self.returned: list[Delivery] = []
        self.left: list[Notice] = []

    def receive(self, item: Item) -> None:
        self.received.append(item)

    def undelivered(self, delivery: Delivery) -> None:
        self.returned.append(delivery)

    def unreached(self, notice: Notice) -> None:
        self.left.append(notice)


def make(name: str, store: Store, sides: Sides, **changes: Any) -> Peers:
    secret = changes.pop("secret", "s3cret")
    settings = PeerSettings(**changes)
    return Peers(name, secret, store, settings, sides, Metrics())  # type: ignore[arg-type]  # Sides has what is used


@asynccontextmanager
async def serving(peers: Peers, store: Store) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get(PATH, peers.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    await announce(store, peers.instance_id, port)
    try:
        yield port
    finally:
        await peers.close()
        await runner.cleanup()


async def announce(store: Store, name: str, port: int) -> None:
    """Say where an instance is."""
    await instances.announce(
        store,
        instance_id=name,
        address=f"http://127.0.0.1:{port}",
        version="test",
        sessions=0,
        nodes=0,
        draining=False,
        ttl_ms=600_000,
    )
