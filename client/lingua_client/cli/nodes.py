"""``lingua nodes``: the translation nodes and how busy they are."""

from typing import Any

from lingua_client.cli import output
from lingua_client.cli.asking import ask
from lingua_client.cli.options import DEFAULT_URL, Json, Limit, Token, Url


def nodes(url: Url = DEFAULT_URL, token: Token = None, limit: Limit = 100, as_json: Json = False) -> None:
    """List the nodes: status, load, languages, health."""
    found = ask(url, token, lambda api: api.pages("/api/v1/nodes", "nodes", limit))
    if as_json:
        output.print_json({"nodes": found})
        return
    columns = ("node", "status", "load", "hears", "speaks", "done", "failed", "declared", "instance")
    output.print_table(columns, [_row(node) for node in found], empty="No node has registered.")


def _row(node: dict[str, Any]) -> tuple[object, ...]:
    word = "quarantined" if node["quarantined"] else node["status"]
    if not node.get("connected", True):  # an older scheduler lists connected ones only
        word = "not connected"
    return (
        node["node_id"],
        output.status(word),
        f"{node['load']}/{node['capacity']}",
        output.some(node["languages"]["hears"]),
        output.some(node["languages"]["speaks"]),
        node["completed"],
        node["failed"],
        node.get("scheduling") or "-",
        node["instance_id"] or "-",
    )
