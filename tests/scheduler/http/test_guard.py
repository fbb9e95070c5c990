"""With authentication on, each route asks for what it needs, and tenants see their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from lingua_scheduler.auth import AuthRules
from lingua_scheduler.http.endpoint import Endpoint, Guard
from lingua_scheduler.http.routes import ENDPOINTS
from lingua_state.models import Access, Capability
from scheduler.http.world import add_job, add_node

if TYPE_CHECKING:
    from scheduler.http.conftest import Served

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def rules() -> AuthRules:
    """Clients need a token."""
    return AuthRules(secret=SECRET)


def bearer(scope: str = "", tenant: str = "acme", **claims: Any) -> dict[str, str]:
    told = {"sub": "ana", "tenant": tenant, "scope": scope, "exp": time.time() + 60, **claims}
    return {"Authorization": f"Bearer {jwt.encode(told, SECRET, algorithm='HS256')}"}


def ids(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def path_of(endpoint: Endpoint) -> str:
    return endpoint.path.replace("{node_id}", "n1").replace("{job_id}", "j1").replace("{code}", "NOT_FOUND")


GUARDED = [endpoint for endpoint in ENDPOINTS if endpoint.guard is not Guard.OPEN]
SCOPED = [endpoint for endpoint in ENDPOINTS if endpoint.guard in {Guard.READ, Guard.ADMIN}]
BAD: dict[str, dict[str, str]] = {
    "none": {},
    "basic": {"Authorization": "Basic YTpi"},
    "garbage": {"Authorization": "Bearer garbage"},
    "expired": bearer("admin", exp=time.time() - 600),
    "unsigned": {"Authorization": f"Bearer {jwt.encode({'sub': 'ana'}, '', algorithm='none')}"},
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("endpoint", GUARDED, ids=ids)
async def test_without_a_good_token_nothing_is_told(served: Served, endpoint: Endpoint, kind: str) -> None:
    status, told, headers = await served.ask(path_of(endpoint), endpoint.method, headers=BAD[kind])
    assert (status, told["code"]) == (401, "UNAUTHENTICATED")
    assert headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("endpoint", SCOPED, ids=ids)
async def test_a_plain_token_does_not_see_the_whole_cell(served: Served, endpoint: Endpoint) -> None:
    told = await served.problem(path_of(endpoint), endpoint.method, headers=bearer())
    assert (told["status"], told["code"]) == (403, "FORBIDDEN")


async def test_a_reader_sees_and_does_not_act(served: Served) -> None:
    await add_node(served.port.store, "n1")
    status, _, _ = await served.ask("/api/v1/nodes", headers=bearer("read"))
    assert status == 200
    told = await served.problem("/api/v1/nodes/n1/drain", "POST", headers=bearer("read"))
    assert told["code"] == "FORBIDDEN"
    status, _, _ = await served.ask("/api/v1/nodes/n1/drain", "POST", headers=bearer("admin"))
    assert status == 200


async def test_a_foreign_job_looks_exactly_like_one_that_is_not_there(served: Served) -> None:
    await add_node(served.port.store, "n1")
    job_id = await add_job(served.port.store, tenant="acme")
    status, told, _ = await served.ask(f"/api/v1/jobs/{job_id}", headers=bearer(tenant="acme"))
    assert (status, told["job_id"]) == (200, job_id)
    foreign = await served.problem(f"/api/v1/jobs/{job_id}", headers=bearer(tenant="other"))
    missing = await served.problem("/api/v1/jobs/none", headers=bearer(tenant="other"))
    assert foreign == missing


async def test_a_token_without_a_tenant_does_not_open_other_tenants_jobs(served: Served) -> None:
    await add_node(served.port.store, "n1")
    job_id = await add_job(served.port.store, tenant="acme")
    assert (await served.problem(f"/api/v1/jobs/{job_id}", headers=bearer(tenant="")))["code"] == "NOT_FOUND"


async def test_private_pairs_show_to_their_tenant_only(served: Served) -> None:
    private = Capability(("fr",), ("en",), access=Access(public=False, tenants=("acme",)))
    await add_node(served.port.store, "n1", private)
    for tenant, count in (("acme", 1), ("other", 0), ("", 0)):
        _, told, _ = await served.ask("/api/v1/pairs", headers=bearer(tenant=tenant))
        assert len(told["pairs"]) == count, tenant


async def test_the_tenant_of_a_translation_is_the_tokens(served: Served) -> None:
    body = {"session_id": "s", "src_lang": "en", "tgt_lang": "es", "payload": "AAAA"}
    await served.ask("/api/v1/dispatch", "POST", json=body, headers=bearer(tenant="acme"))
    assert served.port.asked[-1].tenant == "acme"
    told = await served.problem(
        "/api/v1/dispatch", "POST", json={**body, "tenant": "other"}, headers=bearer(tenant="acme")
    )
    assert told["code"] == "FORBIDDEN"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_foreign_page_may_not_act(served: Served, origin: str) -> None:
    await add_node(served.port.store, "n1")
    headers = {**bearer("admin"), "Origin": origin}
    assert (await served.problem("/api/v1/nodes/n1/drain", "POST", headers=headers))["code"] == "FORBIDDEN"
    own = {**bearer("admin"), "Origin": served.url}
    status, _, _ = await served.ask("/api/v1/nodes/n1/drain", "POST", headers=own)
    assert status == 200


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/health", "/metrics", "/dashboard", "/openapi.json"]
)
async def test_probes_metrics_and_the_empty_page_need_no_token(served: Served, path: str) -> None:
    status, _, _ = await served.ask(path)
    assert status == 200


class TestOff:
    """With authentication off."""

    @pytest.fixture
    def rules(self) -> AuthRules:
        return AuthRules()

    async def test_a_foreign_page_may_not_act_even_then(self, served: Served) -> None:
        await add_node(served.port.store, "n1")
        headers = {"Origin": "https://evil.example"}
        assert (await served.problem("/api/v1/nodes/n1/drain", "POST", headers=headers))["code"] == "FORBIDDEN"

    async def test_health_tells_everybody_what_is_doubtful(self, served: Served) -> None:
        assert await served.findings()


async def test_what_is_doubtful_about_the_store_is_for_readers_only(served: Served) -> None:
    assert (await served.get("/health"))["findings"] == []
    assert (await served.get("/health", headers=bearer()))["findings"] == []
    assert await served.findings(headers=bearer("read"))
