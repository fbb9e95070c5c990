"""Options that several commands share, each written once."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from lingua_client.address import DEFAULT_URL

Url = Annotated[str, typer.Option("--url", envvar="LINGUA_URL", help="The scheduler: http(s)://host:port.")]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="LINGUA_TOKEN", show_envvar=True, help="The token, where the service wants one."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text for people.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Show at most this many.")]
Source = Annotated[str, typer.Option("--from", "-f", metavar="LANG", help="The language spoken (or auto).")]
Target = Annotated[str, typer.Option("--to", "-t", metavar="LANG", help="The language wanted.")]

#: How long a command goes on trying to connect: a person waits for it, and can run it again.
CONNECT_S: Final = 2.0

__all__ = ["CONNECT_S", "DEFAULT_URL", "Json", "Limit", "Source", "Target", "Token", "Url"]
