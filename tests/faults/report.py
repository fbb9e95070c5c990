"""report.py: write what the last fault runs measured into docs/guarantees.md, between its two marks.

Reads build/faults/*.json, one file for each test that passed; a row that was not run keeps its line. Exit code 0.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guarantees.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_HEAD = "| row | test | measured | seed |\n| --- | --- | --- | --- |\n"
_TOLD_APART = ("row", "test", "seed")


def line(told: dict[str, Any]) -> str:
    """Write one line of the table."""
    figures = ", ".join(f"{name} {value}" for name, value in told.items() if name not in _TOLD_APART)
    title = str(told["test"]).removeprefix("test_").replace("_", " ")
    return f"| {told['row']} | {title} | {figures} | {told['seed']} |"


def order(row: str) -> tuple[int, str]:
    """Sort F6 before F15."""
    number = re.match(r"\| F(\d+) \|", row)
    return (int(number.group(1)) if number else 0, row)


def title_of(row: str) -> tuple[str, ...]:
    """Tell which test a line is about."""
    return tuple(part.strip() for part in row.split("|")[1:3])


def main() -> None:
    """Put the newest figures in the place of the older ones."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    table, _, after = rest.partition(END)
    lines = {title_of(row): row for row in table.splitlines() if row.startswith("| F")}
    for path in sorted((ROOT / "build" / "faults").glob("*.json")):
        row = line(json.loads(path.read_text()))
        lines[title_of(row)] = row
    body = "\n".join(sorted(lines.values(), key=order))
    PAGE.write_text(f"{before}{BEGIN}\n{_HEAD}{body}\n{END}{after}")


if __name__ == "__main__":
    main()
