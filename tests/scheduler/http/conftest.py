"""The HTTP face on a real server and a real store, in front of a scheduler that only notes what it is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from kit.eventually import eventually
from kit.redis_servers import VALKEY, Server, start_server
from lingua_scheduler.auth import Authenticator, AuthRules
from lingua_scheduler.http.port import SCHEDULER, Dispatched, TranslateOnce, TranslateResult
from lingua_scheduler.http.routes import add_routes
from lingua_scheduler.http.uploads import UPLOADS, Uploads
from lingua_scheduler.metrics import Metrics
from lingua_scheduler.pairing import PairingDesk
from lingua_scheduler.settings import AuthSettings
from lingua_state import jobs, nodes
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.models import JobStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping


@dataclass
class Port:
    """A scheduler as HTTP sees it: the store is real, speech is answered as the test says."""

    store: Store
    auth: Authenticator
    metrics: Metrics = field(default_factory=Metrics)
    instance_id: str = "here"
    version: str = "1.2.3"
    uptime_s: float = 12.0
    draining: bool = False
    store_writable: bool = True
    asked: list[TranslateOnce] = field(default_factory=list)
    translate: Callable[[TranslateOnce], Awaitable[TranslateResult]] | None = None
    pairing: PairingDesk = field(init=False)

    def __post_init__(self) -> None:
        self.pairing = PairingDesk(self.store, AuthSettings(pairing_tries=3), self.metrics, hops=0)

    async def translate_once(self, request: TranslateOnce) -> TranslateResult:
        self.asked.append(request)
        assert self.translate is not None
        return await self.translate(request)

    async def dispatch_once(self, request: TranslateOnce) -> Dispatched:
        self.asked.append(request)
        return Dispatched(
            job_id="job-1", session_id=request.session_id or "", node_id="", attempt_id=0, status="pending"
        )

    async def undrain_node(self, node_id: str) -> None:
        await nodes.undrain(self.store, node_id)

    async def cancel_job(self, job_id: str) -> bool:
        ended = await jobs.end(
            self.store, job_id, status=JobStatus.CANCELLED, error_code="JOB_CANCELLED", error_message=""
        )
        return ended.outcome == "ok"


@dataclass
class Served:
    """A running application, and a client to ask it."""

    port: Port
    http: aiohttp.ClientSession
    url: str
    uploads: Uploads

    async def ask(self, path: str, method: str = "GET", **more: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Return status, body (parsed when it is JSON) and headers."""
        async with self.http.request(method, self.url + path, **more) as answer:
            body = await answer.read()
            told: Any = json.loads(body) if answer.content_type.endswith("json") else body
            return answer.status, told, answer.headers

    async def get(self, path: str, **more: Any) -> Any:
        """Return the body of an answer that must be good."""
        status, told, _ = await self.ask(path, **more)
        assert status == 200, told
        return told

    async def findings(self, **more: Any) -> list[dict[str, Any]]:
        """Return what is doubtful about the store: it keeps nothing on disk, which is worth a warning. Looking has a
        short time, and is tried again with the next call.
        """

        async def found() -> list[dict[str, Any]]:
            return list((await self.get("/health", **more))["findings"])

        told: list[dict[str, Any]] = await eventually(found, what="a warning of the store")
        return told

    async def problem(self, path: str, method: str = "GET", **more: Any) -> dict[str, Any]:
        """Return the problem document of an answer that must be one, proved to be well formed."""
        status, told, headers = await self.ask(path, method, **more)
        assert headers["Content-Type"] == "application/problem+json", (status, told)
        assert told["status"] == status
        assert {"type", "title", "detail", "code", "retryable"} <= set(told)
        assert isinstance(told, dict)
        return told


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One Valkey for all tests here."""
    server = start_server(VALKEY, tmp_path_factory.mktemp("valkey"))
    yield server
    server.process.stop()


@pytest.fixture
async def store(valkey_server: Server) -> AsyncIterator[Store]:
    """A store on an empty Valkey."""
    valkey_server.flush()
    opened = await open_store(RedisSettings(url=valkey_server.url, retry_budget_ms=1_000, timeout_ms=1_000))
    yield opened
    await opened.close()


@pytest.fixture
def rules() -> AuthRules:
    """Authentication is off; a test that wants it on overrides this."""
    return AuthRules()


@pytest.fixture
async def served(store: Store, rules: AuthRules) -> AsyncIterator[Served]:
    """The application on a free port."""
    port = Port(store=store, auth=Authenticator(rules))
    app = web.Application()
    app[SCHEDULER] = port
    add_routes(app)
    runner = web.AppRunner(app, lingering_time=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as http:
        yield Served(port, http, url, app[UPLOADS])
    await runner.cleanup()
