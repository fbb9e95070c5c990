"""``lingua pools``: the classes of nodes with equal capabilities."""

from typing import Any

from lingua_client.cli import output
from lingua_client.cli.asking import ask
from lingua_client.cli.options import DEFAULT_URL, Json, Token, Url


def pools(url: Url = DEFAULT_URL, token: Token = None, as_json: Json = False) -> None:
    """List the pools: nodes of the same capability, with what is free."""
    answer = ask(url, token, lambda api: api.get("/api/v1/pools"))
    if as_json:
        output.print_json({"pools": answer["pools"]})
        return
    columns = ("pool", "hears", "speaks", "nodes", "free", "for")
    output.print_table(columns, [_row(pool) for pool in answer["pools"]], empty="There is no pool.")


def _row(pool: dict[str, Any]) -> tuple[object, ...]:
    access = pool["access"]
    scope = "everybody" if access["public"] else output.some(access["tenants"]) or "holders of a pairing code"
    languages = pool["languages"]
    hears, speaks = output.some(languages["hears"]), output.some(languages["speaks"])
    return pool["pool_id"], hears, speaks, pool["nodes"], pool["free"], scope
