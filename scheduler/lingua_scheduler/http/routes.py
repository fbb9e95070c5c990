"""The one table of routes, and how an application gets them."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from lingua_scheduler.http import openapi
from lingua_scheduler.http.api import cluster, dashboard, errors, explain, health, jobs, nodes, pools, speech
from lingua_scheduler.http.endpoint import Call, Endpoint, Guard, Nothing
from lingua_scheduler.http.port import SCHEDULER
from lingua_scheduler.http.problems import is_upgrade, problems
from lingua_scheduler.http.uploads import UPLOADS, Uploads

if TYPE_CHECKING:
    from lingua_scheduler.http.problems import Handler


async def show_document(call: Call[Nothing, None]) -> web.Response:
    """Answer the description of all routes."""
    described = openapi.document(ENDPOINTS, call.scheduler.version)
    return web.Response(body=orjson.dumps(described), content_type="application/json")


ENDPOINTS: tuple[Endpoint, ...] = (
    *speech.ENDPOINTS,
    *jobs.ENDPOINTS,
    *nodes.ENDPOINTS,
    *pools.ENDPOINTS,
    *cluster.ENDPOINTS,
    *explain.ENDPOINTS,
    *health.ENDPOINTS,
    *errors.ENDPOINTS,
    *dashboard.ENDPOINTS,
    Endpoint(
        "GET", "/openapi.json", show_document, "errors", "This document", guard=Guard.OPEN,
        media={"application/json": {"type": "object"}},
    ),
)  # fmt: skip


class Listener(StrEnum):
    """What a port serves: everything, what users may reach, or what only the operators' network may."""

    ALL = "all"
    PUBLIC = "public"
    INTERNAL = "internal"

    def serves(self, endpoint: Endpoint) -> bool:
        """Say whether the route is on this port: metrics leave the public one, health is on both."""
        if self is Listener.INTERNAL:
            return endpoint.internal
        return self is Listener.ALL or endpoint.path != "/metrics"


def add_routes(app: web.Application, listener: Listener = Listener.ALL) -> None:
    """Give ``app`` the routes of one port, and problem documents, metrics and safe headers for all it serves.

    The application must hold the scheduler under :data:`SCHEDULER` before its first request.
    """
    for endpoint in ENDPOINTS:
        if listener.serves(endpoint):
            add = app.router.add_get if endpoint.method == "GET" else app.router.add_post
            add(endpoint.path, endpoint.handle)
    if listener is not Listener.INTERNAL:
        app.router.add_get("/", _to_dashboard)
    app[health.FINDINGS] = health.Findings()
    app[UPLOADS] = Uploads()
    app.middlewares.append(measure)
    app.middlewares.append(problems)
    app.on_response_prepare.append(_safe_headers)


@web.middleware
async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count and time each request by its route, sockets apart: they last as long as their session."""
    started_s = time.perf_counter()
    response = await handler(request)
    if not is_upgrade(request):
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        metrics = request.app[SCHEDULER].metrics
        metrics.http_requests.of(route, request.method, str(response.status)).inc()
        metrics.http_seconds.of(route).observe(time.perf_counter() - started_s)
    return response


async def _to_dashboard(request: web.Request) -> web.Response:
    del request
    return web.Response(status=302, headers={"Location": "/dashboard"})


async def _safe_headers(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.popall("Server", None)
