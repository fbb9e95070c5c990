"""How answers are shown: one JSON document, or text for people that is plain when nobody watches a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lingua_client.errors import LinguaError

_PLAIN_WIDTH = 200
#: C0, DEL and C1: what could move the cursor or recolour the terminal of the person who reads it.
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")


def console(*, stderr: bool = False) -> Console:
    """Make a console that takes text literally; wide and without colour when its output is not a terminal."""
    shown = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not shown.is_terminal:
        shown.width = _PLAIN_WIDTH
    return shown


def plain(value: object) -> str:
    """Write a value from outside as one line without control characters."""
    return str(value).translate(_CONTROLS)


def print_json(document: Any) -> None:  # noqa: ANN401 - any JSON
    """Print one JSON document: one line for programs, indented for a terminal."""
    indent = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    sys.stdout.write(orjson.dumps(document, option=indent).decode() + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under their columns; numbers stand right. ``empty`` is said when there are none."""
    rows = list(rows)
    out = console()
    if not rows:
        out.print(Text(empty, style="dim"))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        numbers = all(isinstance(row[place], int | float) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row))
    out.print(table)


def print_error(error: LinguaError, *, as_json: bool) -> None:
    """Say on stderr in one line what went wrong and what to do; a JSON document with ``as_json``."""
    if as_json:
        document = {"error": {"code": error.code, "message": error.message, "remedy": error.remedy}}
        sys.stderr.write(orjson.dumps(document).decode() + "\n")
        return
    line = Text.assemble(("error", "bold red"), f" {plain(error.message)} ", (f"[{plain(error.code)}]", "dim"))
    if error.remedy:
        line.append(f" - {plain(error.remedy)}")
    console(stderr=True).print(line, soft_wrap=True)


def some(words: Sequence[object], most: int = 6) -> str:
    """Write a list for a cell: the first few, and how many more."""
    shown = " ".join(plain(word) for word in words[:most])
    return f"{shown} +{len(words) - most}" if len(words) > most else shown


def age(ms: float | None) -> str:
    """Write a duration for people: 350 ms, 4.2 s, 3 min."""
    if ms is None:
        return "-"
    if ms < 1000:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.1f} s" if ms < 120_000 else f"{ms / 60_000:.0f} min"


#: The colour of a status word, of nodes and of jobs.
_STYLES = {
    "ready": "green",
    "completed": "green",
    "degraded": "yellow",
    "draining": "yellow",
    "waiting": "yellow",
    "failed": "red",
    "offline": "red",
    "not connected": "red",
    "cancelled": "dim",
}


def status(word: object) -> Text:
    """Colour a status word of a node or job."""
    return Text(plain(word), style=_STYLES.get(str(word), ""))
