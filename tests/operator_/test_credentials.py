"""What a node must show: digests of secrets of its namespace, read by name, and followed when they change."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually
from kit.kube.api import path
from kit.operators import SOON_S, Nodes
from lingua_operator.reconcile import LOCKED
from lingua_state import declarations
from lingua_state.declarations import Credential

if TYPE_CHECKING:
    from lingua_state.client import Store
    from lingua_state.declarations import Declaration

pytestmark = pytest.mark.usefixtures("operator")
TOKEN = "a-token-of-the-tests"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def put_secret(nodes: Nodes, name: str, **values: str) -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
    nodes.api.apply(path("secrets", nodes.namespace, name, group="v1"), body).expect()


async def credential(nodes: Nodes, store: Store, name: str = "one") -> Credential | None:
    declared: Declaration | None = await declarations.get(store, f"{nodes.namespace}.{name}")
    return declared.credential if declared else None


async def test_a_token_is_declared_by_its_digest_alone(nodes: Nodes, store: Store) -> None:
    put_secret(nodes, "tokens", one=TOKEN + "\n")
    nodes.create("one", auth={"tokenSecretRef": {"name": "tokens", "key": "one"}})
    await nodes.until("one", "Registered", "Declared")
    assert await credential(nodes, store) == Credential("token", digest(TOKEN))
    assert TOKEN not in str(nodes.get("one"))


async def test_a_changed_secret_is_followed(nodes: Nodes, store: Store) -> None:
    put_secret(nodes, "tokens", one=TOKEN)
    nodes.create("one", auth={"tokenSecretRef": {"name": "tokens", "key": "one"}})
    await nodes.until("one", "Registered", "Declared")
    put_secret(nodes, "tokens", one="another")

    async def followed() -> bool:
        return await credential(nodes, store) == Credential("token", digest("another"))

    await eventually(followed, within_s=SOON_S)


async def test_a_missing_secret_is_told_and_locks_the_node_until_it_is_there(nodes: Nodes, store: Store) -> None:
    nodes.create("one", auth={"tokenSecretRef": {"name": "tokens", "key": "one"}})
    told = await nodes.until("one", "Accepted", "SecretMissing")
    assert "tokens" in told["message"]
    assert await credential(nodes, store) == Credential("token", LOCKED)
    put_secret(nodes, "tokens", other="x")
    await nodes.until("one", "Accepted", "SecretKeyMissing")
    put_secret(nodes, "tokens", one=TOKEN)
    await nodes.until("one", "Accepted", "Accepted")
    assert await credential(nodes, store) == Credential("token", digest(TOKEN))


async def test_a_deleted_secret_locks_the_node(nodes: Nodes, store: Store) -> None:
    put_secret(nodes, "tokens", one=TOKEN)
    nodes.create("one", auth={"tokenSecretRef": {"name": "tokens", "key": "one"}})
    await nodes.until("one", "Registered", "Declared")
    nodes.api.delete(path("secrets", nodes.namespace, "tokens", group="v1")).expect()
    await nodes.until("one", "Accepted", "SecretMissing")
    assert await credential(nodes, store) == Credential("token", LOCKED)


async def test_a_service_account_is_declared_by_its_name(nodes: Nodes, store: Store) -> None:
    nodes.create("one", auth={"serviceAccountName": "speakers"})
    await nodes.until("one", "Registered", "Declared")
    assert await credential(nodes, store) == Credential("service_account", f"{nodes.namespace}/speakers")


async def test_a_pairing_code_opens_the_node_by_its_digest(nodes: Nodes, store: Store) -> None:
    put_secret(nodes, "codes", code="1234")
    nodes.create("one", access={"tenants": ["acme"], "pairingSecretRef": {"name": "codes", "key": "code"}})
    await nodes.until("one", "Registered", "Declared")
    declared = await declarations.get(store, f"{nodes.namespace}.one")
    assert declared is not None
    access = declared.capability.access
    assert (access.public, access.tenants, access.pairing) == (False, ("acme",), digest("1234"))
