"""A whole service on this machine: a store, schedulers and reference nodes, started in order and ended together."""

from __future__ import annotations

import asyncio
import importlib.util
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lingua_client.api import Api
from lingua_client.cli.processes import Program, Programs, free_port, wait_until
from lingua_client.errors import LinguaError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

_STORE_S: Final = 20.0
_SCHEDULER_S: Final = 30.0
_NODE_S: Final = 60.0
#: What the parts need, and the extra that brings it.
_NEEDS: Final = (("lingua_scheduler", "scheduler"), ("redis", "scheduler"), ("lingua_node", "node"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. Port 0: any free one. The settings are variables for every scheduler, and for every node."""

    schedulers: int = 1
    nodes: int = 2
    port: int = 0
    host: str = "127.0.0.1"
    redis_url: str | None = None
    node_settings: Mapping[str, str] = field(default_factory=dict)
    scheduler_settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Stack:
    """The running service."""

    plan: Plan
    programs: Programs
    redis_url: str = ""
    urls: list[str] = field(default_factory=list)
    nodes: dict[str, Program] = field(default_factory=dict)
    #: After the end: processes that did not end by themselves and had to be killed.
    stubborn: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Give the first scheduler's address."""
        return self.urls[0]

    async def start_store(self) -> None:
        """Start an embedded store unless one was named."""
        if self.plan.redis_url:
            self.redis_url = self.plan.redis_url
            return
        port = free_port()
        self.redis_url = f"redis://127.0.0.1:{port}/0"
        folder = str(self.programs.folder / "store")
        await self.programs.start("store", ["-m", "lingua_client.cli.store", folder, str(port)], {})
        await wait_until(lambda: _listens(port), "the start of the store", self.programs, _STORE_S)

    async def start_schedulers(self) -> None:
        """Start the schedulers and wait until each takes sessions."""
        for number in range(1, self.plan.schedulers + 1):
            port = self.plan.port + number - 1 if self.plan.port else free_port()
            await self._start_scheduler(number, port)
        for url in self.urls:
            await wait_until(lambda url=url: _ready(url), f"the start of {url}", self.programs, _SCHEDULER_S)  # type: ignore[misc]

    async def start_nodes(self) -> None:
        """Start the nodes one after the other, each at a scheduler in turn, and wait until each is ready.

        Together they would take each other's time: an engine must load within a bounded one.
        """
        for number in range(1, self.plan.nodes + 1):
            await self._start_node(f"node-{number}", self.urls[(number - 1) % len(self.urls)])

    async def pairs(self) -> list[str]:
        """List the language pairs on offer, for people."""
        async with Api(self.url) as api:
            found = (await api.get("/api/v1/pairs"))["pairs"]
        return sorted({f"{line['pair']['source']}->{line['pair']['target']}" for line in found})

    async def _start_scheduler(self, number: int, port: int) -> None:
        settings = {
            "LINGUA_HOST": self.plan.host,
            "LINGUA_PORT": str(port),
            "LINGUA_REDIS_URL": self.redis_url,
            "LINGUA_PEER_ADDRESS": f"http://127.0.0.1:{port}",
            "LINGUA_INSTANCE_ID": f"scheduler-{number}",
            # All nodes share this machine: its being full is no reason to give one of them nothing.
            "LINGUA_NODES_MEMORY_PERCENT": "0",
            **self.plan.scheduler_settings,
        }
        await self.programs.start(f"scheduler-{number}", ["-m", "lingua_scheduler"], settings)
        self.urls.append(f"http://127.0.0.1:{port}")

    async def _start_node(self, node_id: str, url: str) -> None:
        settings = {
            "LINGUA_NODE_URL": url.replace("http", "ws", 1) + "/ws/node",
            "LINGUA_NODE_NODE_ID": node_id,
            "LINGUA_NODE_DATA_DIR": str(self.programs.folder / node_id),
            **self.plan.node_settings,
        }
        self.nodes[node_id] = await self.programs.start(node_id, ["-m", "lingua_node"], settings)
        await wait_until(lambda: self._is_ready(node_id), f"the start of {node_id}", self.programs, _NODE_S)

    async def _is_ready(self, node_id: str) -> bool:
        async with Api(self.url) as api:
            try:
                return bool((await api.get(f"/api/v1/nodes/{node_id}"))["status"] == "ready")
            except NotFoundError:
                return False


@asynccontextmanager
async def running(plan: Plan, folder: Path, step: Callable[[str], Any] | None = None) -> AsyncIterator[Stack]:
    """Start a service, and end it and everything it started; ``step`` is told what is being started.

    :raises LinguaError: a part is not installed or did not come up, with the last line of its log.
    """
    check_installed()
    tell = step or (lambda _: None)
    stack = Stack(plan, Programs(folder))
    try:
        tell("store")
        await stack.start_store()
        tell("scheduler")
        await stack.start_schedulers()
        tell("nodes")
        await stack.start_nodes()
        yield stack
    finally:
        stack.stubborn = await stack.programs.stop()


def check_installed() -> None:
    """Say which extra is missing.

    :raises LinguaError: ``NOT_INSTALLED``.
    """
    for module, extra in _NEEDS:
        if importlib.util.find_spec(module) is None:
            raise LinguaError("NOT_INSTALLED", f"{module} is not installed", f"pip install 'lingua[{extra},embedded]'")


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def _ready(url: str) -> bool:
    try:
        async with Api(url, timeout_s=2.0) as api:
            await api.get("/health/ready")
    except LinguaError:
        return False
    return True
