"""Pairing codes: a wrong one is refused with a word, and none is found by trying."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.clients import Client
from kit.nodes import Node
from kit.schedulers import cluster

if TYPE_CHECKING:
    from pathlib import Path

    from kit.schedulers import Cluster

CODE = "PairingSecret77"


async def try_code(url: str, pair: tuple[str, str], code: str) -> tuple[str, int | None]:
    """Show a code; returns what the client was told, and how it was closed."""
    async with Client(url, extensions=()) as client:
        await client.send(
            {
                "type": "session_init",
                "client_version": "test",
                "platform": "web",
                "src_lang": pair[0],
                "tgt_lang": pair[1],
                "pairing_code": code,
            }
        )
        told = await client.until(lambda: client.all("error") or client.all("session_init_ack"))
        if told[0]["type"] == "error":
            return str(told[0]["code"]), await client.closed()
        return "opened", None


async def test_a_wrong_code_is_refused_though_public_nodes_are_there(two: Cluster, pair: tuple[str, str]) -> None:
    async with Node(two.urls[0], pair[:1], pair[1:]):
        assert await try_code(two.urls[1], pair, "NoSuchCode") == ("INVALID_PAIRING_CODE", 4403)


async def test_codes_can_not_be_found_by_trying_whichever_instance_and_way_is_used(tmp_path: Path) -> None:
    pair = ("en", "es")
    with cluster(tmp_path, auth_pairing_tries=4) as two:
        private = Node(two.urls[0], pair[:1], pair[1:], accept_public_jobs=False, pairing_code=CODE)
        async with private:
            assert await try_code(two.urls[1], pair, CODE) == ("opened", None)
            tried = [await try_code(two.urls[number % 2], pair, f"guess {number}") for number in range(3)]
            assert tried == [("INVALID_PAIRING_CODE", 4403)] * 3
            path = "/api/v1/explain?src=en&tgt=es&pairing_code="
            assert two.schedulers[0].ask(path + "guess")[0] == 403
            status, told = two.schedulers[1].ask(path + CODE)
            assert (status, told["code"]) == (429, "RATE_LIMITED")
            assert await try_code(two.urls[0], pair, CODE) == ("RATE_LIMITED", 4429)
            assert two.schedulers[0].metric("lingua_auth_refused_total", side="pairing", code="RATE_LIMITED") == 1
            two.assert_nothing_leaked(CODE)
