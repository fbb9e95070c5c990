"""Live, ready and metrics tell the truth, also while the store is away."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from kit import processes
from kit.eventually import eventually
from lingua_scheduler.http.port import SCHEDULER
from lingua_scheduler.http.routes import Listener, add_routes
from lingua_scheduler.timed import timed
from lingua_state import instances

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp

    from kit.redis_servers import Server
    from scheduler.http.conftest import Served


async def test_a_well_instance_is_live_and_ready(served: Served) -> None:
    assert await served.get("/health/live") == {"live": True}
    assert (await served.get("/health/ready"))["ready"] is True
    health = await served.get("/health")
    assert (health["live"], health["ready"], health["store"]) == (True, True, True)
    assert health["store_ping_ms"] > 0


async def test_health_tells_what_is_doubtful_about_the_store(served: Served) -> None:
    findings = await served.findings()
    assert {"level", "code", "message", "remedy"} == set(findings[0])


async def test_an_instance_whose_store_refuses_changes_is_live_and_not_ready(served: Served) -> None:
    served.port.store_writable = False
    told = await served.problem("/health/ready")
    assert (told["status"], told["code"]) == (503, "STORE_UNAVAILABLE")
    assert await served.get("/health/live") == {"live": True}
    assert (await served.get("/health"))["ready"] is False


async def test_a_draining_instance_is_live_and_not_ready(served: Served) -> None:
    served.port.draining = True
    told = await served.problem("/health/ready")
    assert (told["status"], told["code"]) == (503, "DRAINING")
    assert await served.get("/health/live") == {"live": True}
    assert (await served.get("/health"))["ready"] is False


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Keep the store's process from running: it answers nobody, as behind a broken network."""
    processes.pause(server.process.process.pid)
    try:
        yield
    finally:
        processes.go_on(server.process.process.pid)


@pytest.fixture
def away(served: Served, valkey_server: Server) -> Iterator[Served]:
    """The application while the store is away."""
    with stopped(valkey_server):
        yield served


READS = [
    "nodes",
    "jobs",
    "jobs/x",
    "nodes/x",
    "pools",
    "pairs",
    "sessions",
    "stats",
    "cluster",
    "explain?src=en&tgt=es",
]


@pytest.mark.parametrize("path", READS)
async def test_without_the_store_every_read_is_a_503_that_says_when_to_come_back(away: Served, path: str) -> None:
    status, told, headers = await away.ask(f"/api/v1/{path}")
    assert (status, told["code"], told["retryable"]) == (503, "STORE_UNAVAILABLE", True)
    assert int(headers["Retry-After"]) >= 1


async def test_without_the_store_it_is_live_and_not_ready(away: Served) -> None:
    assert await away.get("/health/live") == {"live": True}
    assert (await away.problem("/health/ready"))["code"] == "STORE_UNAVAILABLE"
    health = await away.get("/health")
    assert (health["live"], health["ready"], health["store"], health["store_ping_ms"]) == (True, False, False, None)


async def test_metrics_are_exposed_and_count_requests_by_route(served: Served) -> None:
    await served.problem("/api/v1/jobs/one")
    await served.problem("/api/v1/jobs/two")
    await served.problem("/nothing/at/all")
    text = (await served.ask("/metrics"))[1].decode()
    assert 'lingua_http_requests_total{method="GET",route="/api/v1/jobs/{job_id}",status="404"} 2.0' in text
    assert 'route="unknown"' in text
    assert "/nothing" not in text
    assert 'lingua_errors_total{code="NOT_FOUND",side="http"} 3.0' in text


async def test_a_wild_method_makes_no_series_of_its_own(served: Served) -> None:
    for number in range(20):
        await served.ask("/api/v1/nodes", f"M{number:X}".replace("1", "A"))
    text = (await served.ask("/metrics"))[1].decode()
    assert 'method="M' not in text


@pytest.mark.parametrize("path", ["/api/v1/nodes", "/health", "/dashboard", "/metrics", "/nothing"])
async def test_every_answer_has_safe_headers_and_names_no_server(served: Served, path: str) -> None:
    _, _, headers = await served.ask(path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in headers


async def test_the_store_coming_back_makes_it_ready_again(served: Served, valkey_server: Server) -> None:
    with stopped(valkey_server):
        assert (await served.problem("/health/ready"))["code"] == "STORE_UNAVAILABLE"
    await eventually(lambda: is_ready(served.http, served.url), what="ready again")


async def is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(f"{url}/health/ready") as answer:
        return answer.status == 200


@pytest.mark.parametrize(
    ("listener", "there", "missing"),
    [
        (Listener.PUBLIC, "/api/v1/stats", "/metrics"),
        (Listener.PUBLIC, "/health/live", "/metrics"),
        (Listener.INTERNAL, "/metrics", "/api/v1/stats"),
        (Listener.INTERNAL, "/health/ready", "/dashboard"),
    ],
)
async def test_with_two_ports_metrics_leave_the_public_one(
    served: Served, listener: Listener, there: str, missing: str
) -> None:
    app = web.Application()
    app[SCHEDULER] = served.port
    add_routes(app, listener)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with served.http.get(url + there) as good, served.http.get(url + missing) as bad:
        assert (good.status, bad.status) == (200, 404)
    await runner.cleanup()


async def test_each_script_call_is_timed_by_its_name(served: Served) -> None:
    store = timed(served.port.store, served.port.metrics)
    await instances.live(store)
    await instances.live(store)
    text = (await served.ask("/metrics"))[1].decode()
    assert 'lingua_redis_script_seconds_count{script="instance_list"} 2.0' in text
