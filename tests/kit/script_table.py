"""The table of scripts in docs/data-model.md, made from the scripts' headers. Run this file to write it anew."""

from __future__ import annotations

import re
from pathlib import Path

from lingua_state.loader import script_names, source

PAGE = Path(__file__).parents[2] / "docs" / "data-model.md"
_BETWEEN = re.compile(r"(<!-- scripts -->\n).*?(<!-- end of scripts -->)", re.DOTALL)


def table() -> str:
    """Make the table: name, what it does, how repeating is safe."""
    rows = [f"| `{name}` | {does(name)} | {repeat(name)} |" for name in script_names()]
    return "\n".join(["| script | does | repeated |", "| --- | --- | --- |", *rows, ""])


def does(name: str) -> str:
    """Read the first paragraph of a script's header."""
    header = source(name).partition("]]")[0]
    paragraph = re.search(rf"\n{name}: (.*?)\n\n", header, re.DOTALL)
    return " ".join(paragraph[1].split()) if paragraph else ""


def repeat(name: str) -> str:
    """Read what a script's header says of repeating."""
    header = source(name).partition("]]")[0]
    said = re.search(r"^Repeat\s+(.*?)\n(?=\S|$)", header + "\n", re.DOTALL | re.MULTILINE)
    return " ".join(said[1].split()) if said else ""


def with_table(page: str) -> str:
    """Put the table into the page."""
    return _BETWEEN.sub(lambda match: f"{match[1]}{table()}{match[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
