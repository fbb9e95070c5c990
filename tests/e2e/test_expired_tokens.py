"""A connection ends when its token runs out, with a word; a session that can be resumed waits for a new one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import jwt
import pytest

from kit.clients import EXTENSIONS, Client
from kit.nodes import Node
from kit.proof import utterance
from kit.schedulers import Cluster, cluster
from lingua_scheduler.auth import NODE_AUDIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS, NODES = "a-secret-for-tests-of-clients-0123456789", "a-secret-for-tests-of-nodes-0123456789ab"
PAIR = ("en", "es")
#: How long a token is good: long enough to be translated with it first, on a busy machine too.
LIFE_S = 6.0


def of_client(seconds: float) -> str:
    return jwt.encode({"sub": "ana", "exp": time.time() + seconds}, CLIENTS, algorithm="HS256")


def of_node(seconds: float, node_id: str) -> str:
    claims = {"sub": node_id, "aud": NODE_AUDIENCE, "exp": time.time() + seconds}
    return jwt.encode(claims, NODES, algorithm="HS256")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler that wants credentials of everybody."""
    with cluster(tmp_path_factory.mktemp("one"), 1, auth_secret=CLIENTS, auth_node_secret=NODES) as running:
        yield running


@pytest.mark.parametrize("extensions", [(), EXTENSIONS], ids=["base", "extended"])
async def test_a_client_is_closed_when_its_token_runs_out(one: Cluster, extensions: tuple[str, ...]) -> None:
    async with (
        Node(one.urls[0], PAIR[:1], PAIR[1:], token=of_node(600, "n1")),
        Client(one.urls[0], extensions=extensions, token=of_client(LIFE_S)) as client,
    ):
        await client.open(*PAIR)
        audio = utterance()
        await client.proven(await client.say(audio), audio)
        assert await client.closed() == 4401
        assert [error["code"] for error in client.all("error")] == ["UNAUTHENTICATED"]


async def test_a_session_goes_on_with_a_new_token(one: Cluster) -> None:
    wanted = (*EXTENSIONS, "resume")
    async with (
        Node(one.urls[0], PAIR[:1], PAIR[1:], token=of_node(600, "n1")),
        Client(one.urls[0], extensions=wanted, token=of_client(LIFE_S)) as client,
        Client(one.urls[0], extensions=wanted, token=of_client(600)) as again,
    ):
        await client.open(*PAIR)
        assert await client.closed() == 4401
        assert (await again.resume(client, *PAIR))["session_id"] == client.session_id


async def test_a_node_is_closed_when_its_credential_runs_out(one: Cluster) -> None:
    async with Node(one.urls[0], PAIR[:1], PAIR[1:], token=of_node(LIFE_S, "n2")) as node:
        assert await node.closed() == 4401
        assert [error["code"] for error in node.all("error")] == ["UNAUTHENTICATED"]
