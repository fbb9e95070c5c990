"""Whose token a node shows: asked of a server that speaks HTTPS and TokenReview, good or broken."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from kit.certificates import make_certificate
from kit.eventually import eventually
from lingua_scheduler.token_review import AT_ONCE, LIFE_S, TokenReviews
from lingua_scheduler.tokens import AuthError, AuthSettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GOOD: dict[str, Any] = {
    "authenticated": True,
    "audiences": ["lingua-node"],
    "user": {"username": "system:serviceaccount:prod:gpu"},
}


@dataclass
class Issuer:
    """A server that reviews tokens: ``answers`` by token; ``status`` is its HTTP status."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    status: int = 201
    body: bytes | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)
    inside: int = 0
    most: int = 0

    async def review(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked)
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.held.wait()
        self.inside -= 1
        if self.body is not None:
            return web.Response(status=self.status, body=self.body, content_type="application/json")
        found = self.answers.get(asked["spec"]["token"], {"authenticated": False, "error": "invalid bearer token"})
        return web.json_response({**asked, "status": found}, status=self.status)


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    issuer = Issuer()
    issuer.held.set()
    certificate, key = make_certificate(tmp_path)
    app = web.Application()
    app.router.add_post("/apis/authentication.k8s.io/v1/tokenreviews", issuer.review)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    issuer.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield issuer
    await runner.cleanup()


@dataclass
class Clock:
    """A clock that a test moves."""

    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def reviews(issuer: Issuer, tmp_path: Path, clock: Clock) -> AsyncIterator[TokenReviews]:
    configuration = client.Configuration(host=issuer.url, ssl_ca_cert=str(tmp_path / "certificate.pem"))
    opened = TokenReviews(client.ApiClient(configuration), clock)
    yield opened
    await opened.close()


async def refused(reviews: TokenReviews, token: str) -> str:
    with pytest.raises(AuthError) as error:
        await reviews.account(token)
    return str(error.value.code)


async def test_a_good_token_names_its_service_account(issuer: Issuer, reviews: TokenReviews) -> None:
    issuer.answers["t1"] = GOOD
    assert await reviews.account("t1") == "prod/gpu"
    assert [asked["spec"] for asked in issuer.asked] == [{"token": "t1", "audiences": ["lingua-node"]}]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"authenticated": False}, "UNAUTHENTICATED"),
        ({"audiences": ["https://kubernetes.default.svc"]}, "UNAUTHENTICATED"),
        ({"audiences": None}, "UNAUTHENTICATED"),
        ({"user": {"username": "alice"}}, "FORBIDDEN"),
        ({"user": {"username": "system:serviceaccount:prod"}}, "FORBIDDEN"),
        ({"user": None}, "FORBIDDEN"),
    ],
)
async def test_any_other_token_is_refused(
    issuer: Issuer, reviews: TokenReviews, changed: dict[str, Any], code: str
) -> None:
    issuer.answers["t1"] = GOOD | changed
    assert await refused(reviews, "t1") == code
    assert await refused(reviews, "t1") == code
    assert len(issuer.asked) == 2, "only good answers are kept"


async def test_a_good_answer_is_kept_for_a_minute_and_no_longer(
    issuer: Issuer, reviews: TokenReviews, clock: Clock
) -> None:
    issuer.answers["t1"] = GOOD
    await reviews.account("t1")
    issuer.answers.clear()
    clock.now_s += LIFE_S - 1
    assert await reviews.account("t1") == "prod/gpu"
    assert len(issuer.asked) == 1
    clock.now_s += 1
    assert await refused(reviews, "t1") == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"kind": "Status", "message": "boom"}'),
        (403, b'{"kind": "Status", "message": "forbidden"}'),
        (429, b"{}"),
        (201, b"no json"),
        (201, b'{"spec": 7}'),
        (201, b'{"spec": {"token": "t1"}, "status": {"authenticated": "maybe"}}'),
    ],
)
async def test_a_server_that_can_t_tell_is_no_reason_to_let_anybody_in(
    issuer: Issuer, reviews: TokenReviews, status: int, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.status, issuer.body = status, body
    caplog.set_level(logging.DEBUG)
    assert await refused(reviews, "s3cret-token") == "SCHEDULER_DEPENDENCY_DOWN"
    assert "s3cret-token" not in caplog.text


async def test_a_server_that_is_not_there_is_told_apart_from_a_bad_token(reviews: TokenReviews, issuer: Issuer) -> None:
    configuration = client.Configuration(host="https://127.0.0.1:1")
    away = TokenReviews(client.ApiClient(configuration))
    assert await refused(away, "t1") == "SCHEDULER_DEPENDENCY_DOWN"
    await away.close()
    # A server whose certificate nobody vouches for gets no token at all.
    stranger = TokenReviews(client.ApiClient(client.Configuration(host=issuer.url)))
    assert await refused(stranger, "t1") == "SCHEDULER_DEPENDENCY_DOWN"
    await stranger.close()
    assert issuer.asked == []


async def test_a_storm_of_nodes_is_none_for_the_server(issuer: Issuer, reviews: TokenReviews) -> None:
    issuer.held.clear()
    tokens = [f"t{number}" for number in range(3 * AT_ONCE)]
    issuer.answers |= dict.fromkeys(tokens, GOOD)
    asking = [asyncio.create_task(reviews.account(token)) for token in tokens]
    await eventually(lambda: issuer.inside >= AT_ONCE)
    issuer.held.set()
    assert set(await asyncio.gather(*asking)) == {"prod/gpu"}
    assert issuer.most == AT_ONCE


async def test_without_an_api_server_the_scheduler_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(AuthSettingsError, match="no API server to ask"):
        await TokenReviews.open()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(AuthSettingsError, match="no API server to ask"):
        await TokenReviews.open()
    broken = tmp_path / "broken"
    broken.write_text(json.dumps({"apiVersion": "v1", "kind": "Config"}))
    monkeypatch.setenv("KUBECONFIG", str(broken))
    with pytest.raises(AuthSettingsError, match="no API server to ask"):
        await TokenReviews.open()


def test_a_scheduler_that_reviews_no_tokens_does_not_load_the_client_of_kubernetes() -> None:
    code = "import sys, lingua_scheduler.app; sys.exit(any(name.startswith('kubernetes') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
