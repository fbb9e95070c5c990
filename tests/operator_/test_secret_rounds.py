"""However many secrets there are, a changed one is noticed within ten rounds, and the API server is not flooded."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest

from kit.operators import tnode
from lingua_operator.credentials import PER_ROUND, ROUNDS, Secrets
from lingua_operator.resource import parse_node

if TYPE_CHECKING:
    from lingua_operator.resource import Node


class Shelf:
    """Stands where the cluster stands, and holds secrets alone."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.reads = 0
        self.now = self.most = 0

    async def get(self, _kind: object, _namespace: str, name: str) -> dict[str, Any]:
        self.now += 1
        self.reads += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return {"data": {"token": base64.b64encode(self.tokens[name].encode()).decode()}}


def node(name: str) -> Node:
    made = tnode(name, auth={"tokenSecretRef": {"name": name, "key": "token"}})
    made["metadata"] |= {"namespace": "speech", "uid": name}
    return parse_node(made)


@pytest.mark.parametrize("count", [3, PER_ROUND, 5_000])
async def test_a_changed_secret_is_noticed_within_ten_rounds_among_any_number(count: int) -> None:
    shelf = Shelf()
    secrets = Secrets(shelf)  # type: ignore[arg-type]
    names = [f"n{number}" for number in range(count)]
    shelf.tokens = dict.fromkeys(names, "before")
    for name in names:
        await secrets.of(node(name))
    shelf.tokens[names[-1]] = "after"
    shelf.reads = 0
    changed = [await secrets.reread() for _ in range(ROUNDS)]
    assert set.union(*changed) == {("speech", names[-1])}
    assert shelf.reads <= ROUNDS * max(PER_ROUND, count // ROUNDS)
    assert shelf.most <= 8
