"""The document says what is there: every route, every parameter, every error code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from lingua_scheduler.http.endpoint import Endpoint, Guard
from lingua_scheduler.http.openapi import document
from lingua_scheduler.http.routes import ENDPOINTS
from lingua_wire.codes import CODES, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scheduler.http.conftest import Served

#: What docs/http.md promises.
PROMISED = {
    ("POST", "/api/v1/translate"), ("POST", "/api/v1/dispatch"), ("GET", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/{job_id}"), ("POST", "/api/v1/jobs/{job_id}/cancel"), ("GET", "/api/v1/nodes"),
    ("GET", "/api/v1/nodes/{node_id}"), ("POST", "/api/v1/nodes/{node_id}/drain"),
    ("POST", "/api/v1/nodes/{node_id}/undrain"), ("GET", "/api/v1/pools"), ("GET", "/api/v1/pairs"),
    ("GET", "/api/v1/sessions"), ("GET", "/api/v1/stats"), ("GET", "/api/v1/cluster"), ("GET", "/api/v1/explain"),
    ("GET", "/health"), ("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/metrics"),
    ("GET", "/dashboard"), ("GET", "/openapi.json"),
}  # fmt: skip


def described() -> dict[str, Any]:
    return document(ENDPOINTS, "1")


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


async def test_the_document_is_served(served: Served) -> None:
    assert (await served.get("/openapi.json"))["openapi"] == "3.1.0"


def test_every_promised_route_is_there() -> None:
    assert {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS} >= PROMISED


async def test_every_route_of_the_running_server_is_described(served: Served) -> None:
    from aiohttp import web

    from lingua_scheduler.http.routes import add_routes

    app = web.Application()
    add_routes(app)
    known = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    listed = {(method.upper(), path) for path, methods in described()["paths"].items() for method in methods}
    assert {row for row in known if row[0] != "HEAD" and row[1] != "/"} == listed


def test_every_reference_leads_somewhere() -> None:
    told = described()
    wanted = {ref.removeprefix("#/components/schemas/") for ref in references(told)}
    assert wanted - set(told["components"]["schemas"]) == set()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_error_a_route_may_give_is_listed_under_its_status(endpoint: Endpoint) -> None:
    told = described()["paths"][endpoint.path][endpoint.method.lower()]
    listed = {(status, code) for status, row in told["responses"].items() for code in row.get("x-error-codes", ())}
    assert listed == {(str(CODES[code].http_status), str(code)) for code in endpoint.all_errors()}


def test_every_path_parameter_is_described() -> None:
    for path, methods in described()["paths"].items():
        for told in methods.values():
            names = {parameter["name"] for parameter in told["parameters"] if parameter["in"] == "path"}
            assert names == set(re.findall(r"{(\w+)}", path))


def test_operation_ids_are_different() -> None:
    ids = [told["operationId"] for methods in described()["paths"].values() for told in methods.values()]
    assert len(ids) == len(set(ids))


def test_what_needs_a_token_says_so() -> None:
    for endpoint in ENDPOINTS:
        told = described()["paths"][endpoint.path][endpoint.method.lower()]
        assert ("security" in told) == (endpoint.guard is not Guard.OPEN)


def test_the_codes_of_the_document_are_those_of_the_wire() -> None:
    assert described()["components"]["schemas"]["ErrorCode"]["enum"] == [str(code) for code in ErrorCode]


def test_whatever_changes_something_is_a_post_and_for_admins_or_token_holders() -> None:
    for endpoint in ENDPOINTS:
        assert endpoint.method in {"GET", "POST"}
        if endpoint.method == "POST":
            assert endpoint.guard in {Guard.ADMIN, Guard.TOKEN}
