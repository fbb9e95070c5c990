"""``lingua explain``: which node would be chosen now, and why not each other one."""

from typing import Annotated

import typer
from rich.text import Text

from lingua_client.cli import output
from lingua_client.cli.asking import ask, pair
from lingua_client.cli.options import DEFAULT_URL, Json, Source, Target, Token, Url

Session = Annotated[str | None, typer.Option("--session", help="A session whose turn and node count.")]
BothWays = Annotated[bool, typer.Option("--both-ways", help="As for two people: both directions must be served.")]


def explain(
    url: Url = DEFAULT_URL,
    token: Token = None,
    source: Source = "en",
    target: Target = "es",
    session: Session = None,
    both_ways: BothWays = False,
    as_json: Json = False,
) -> None:
    """Tell which node would get the next utterance, and why not each other one."""
    query = {"src": source, "tgt": target, "session": session, "both_ways": "true" if both_ways else None}
    answer = ask(url, token, lambda api: api.get("/api/v1/explain", **query))
    if as_json:
        output.print_json(answer)
        return
    chosen = answer["chosen"] or "no node"
    output.console().print(Text.assemble(f"{pair(answer['pair'])}: ", (output.plain(chosen), "bold")))
    rows = [
        (
            "->" if candidate["node_id"] == answer["chosen"] else "",
            candidate["node_id"],
            candidate["pool_id"],
            "yes" if candidate["eligible"] else "no",
            candidate["reason"],
            f"{candidate['score'] / 10_000:.0f} %",
        )
        for candidate in answer["candidates"]
    ]
    columns = ("", "node", "pool", "fit", "reason", "load")
    output.print_table(columns, rows, empty="No node offers this pair.")
