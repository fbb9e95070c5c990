"""``lingua pairs``: the language pairs on offer."""

from lingua_client.cli import output
from lingua_client.cli.asking import ask, pair
from lingua_client.cli.options import DEFAULT_URL, Json, Token, Url


def pairs(url: Url = DEFAULT_URL, token: Token = None, as_json: Json = False) -> None:
    """List the language pairs: nodes, what is free, what waits."""
    answer = ask(url, token, lambda api: api.get("/api/v1/pairs"))
    if as_json:
        output.print_json({"pairs": answer["pairs"]})
        return
    rows = [
        (
            pair(line["pair"]),
            line["nodes"],
            line["free"],
            line["waiting"],
            output.age(line["oldest_wait_ms"]) if line["waiting"] else "-",
            line["scope"] or "everybody",
        )
        for line in answer["pairs"]
    ]
    columns = ("pair", "nodes", "free", "waiting", "oldest", "for")
    output.print_table(columns, rows, empty="No language pair is offered.")
