"""With authentication on: who may come in, whose nodes serve whom, and no token or secret in any log or key."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import jwt
import pytest

from kit.clients import Client
from kit.eventually import eventually
from kit.nodes import Node
from kit.proof import utterance
from kit.schedulers import Cluster, cluster
from kit.state import can
from lingua_scheduler.auth import NODE_AUDIENCE
from lingua_state import declarations
from lingua_state.client import RedisSettings, open_store
from lingua_state.declarations import Declaration

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS, NODES, PEERS = "secret-of-clients-" + "c" * 32, "secret-of-nodes-" + "n" * 32, "secret-of-peers-" + "p" * 32


def token(secret: str, **claims: Any) -> str:
    return jwt.encode({"sub": "ana", "exp": int(time.time()) + 600} | claims, secret, algorithm="HS256")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = {"auth_secret": CLIENTS, "auth_node_secret": NODES, "peer_secret": PEERS, "job_wait_ms": 1_000}
    with cluster(tmp_path_factory.mktemp("guarded"), 2, **settings) as running:
        yield running


async def test_with_good_tokens_everything_works_over_two_schedulers_and_no_secret_is_written(
    guarded: Cluster, pair: tuple[str, str]
) -> None:
    audio, of_client, of_node = (
        utterance(),
        token(CLIENTS, tenant="t1"),
        token(NODES, sub="guarded-node", aud=NODE_AUDIENCE),
    )
    async with (
        Node(guarded.urls[1], pair[:1], pair[1:], token=of_node) as node,
        Client(guarded.urls[0], token=of_client) as client,
    ):
        assert node.node_id == "guarded-node", "the credential names the node"
        await client.open(*pair)
        await client.proven(await client.say(audio), audio)
        signatures = [part for made in (of_client, of_node) for part in made.split(".")[1:]]
        guarded.assert_nothing_leaked(CLIENTS, NODES, PEERS, *signatures)


@pytest.mark.parametrize(
    "bad", ["", "not-a-token", token(NODES), token(CLIENTS, exp=1)], ids=["no", "bad", "other", "old"]
)
async def test_a_client_without_a_good_token_is_refused_before_the_upgrade(guarded: Cluster, bad: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with Client(guarded.urls[0], token=bad):
            pass
    assert refused.value.status == 401
    guarded.assert_nothing_leaked(bad or CLIENTS)


async def test_a_node_without_a_token_is_refused_before_the_upgrade(guarded: Cluster) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with Node(guarded.urls[0], ("en",), ("es",)):
            pass
    assert refused.value.status == 401


async def test_a_token_that_is_no_nodes_is_refused_when_the_node_has_said_who_it_is(guarded: Cluster) -> None:
    # Where nobody is declared it is refused at once, as soon as the scheduler has seen that.
    store = await open_store(RedisSettings(url=guarded.store.url))
    await declarations.declare(store, Declaration("declared", "uid-of-declared", 1, can("en", "es")))
    await store.close()
    node = Node(guarded.urls[0], ("en",), ("es",), token=token(CLIENTS), node_id="stranger")

    async def may_speak() -> bool:
        with contextlib.suppress(aiohttp.WSServerHandshakeError):
            await node.connect()
            return True
        return False

    await eventually(may_speak, what="it is asked who it is: it may be declared")
    await node.say(node.registration())
    assert await node.closed() == 4401
    await node.disconnect()


async def test_the_tenant_of_a_message_does_not_count_beside_a_token(guarded: Cluster, pair: tuple[str, str]) -> None:
    of_node = token(NODES, sub="t1-node", tenant="t1", aud=NODE_AUDIENCE)
    private = Node(guarded.urls[0], pair[:1], pair[1:], token=of_node, accept_public_jobs=False)
    async with (
        private,
        Client(guarded.urls[1], token=token(CLIENTS, tenant="t1")) as owner,
        Client(guarded.urls[1], token=token(CLIENTS, tenant="t2"), extensions=()) as stranger,
    ):
        audio = utterance()
        await owner.open(*pair)
        await owner.proven(await owner.say(audio), audio)
        await stranger.open(*pair, tenant_id="t1")
        assert (await stranger.outcome(await stranger.say(utterance())))["reason"] == "no_available_node"
        assert len(private.jobs) == 1
