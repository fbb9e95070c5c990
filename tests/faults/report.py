"""report.py: write what the last fault runs measured into docs/guarantees.md, between its marks.

Reads build/faults/*.json, one file for each test that passed; a row that was not run keeps its line. Exit code 0.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "guarantees.md"
#: What was asked for, in which row it is measured, and by which figure: the worst of the row's tests is told.
GOALS: Final = (
    ("a job of a killed node is given to another one", "1 s", "F6", "taken_again_s"),
    ("a silent node is found (`fast_lease`)", "17 s", "F7", "found_s"),
    ("answers come again after the store was away for seven minutes", "5 s", "F25", "recovered_s"),
    ("answers come again after the store was killed", "5 s", "F15", "recovered_s"),
    ("longest time without any answer in an orderly failover", "5 s", "F19", "gap_s"),
    ("longest time without any answer when the primary is killed", "`down-after` + 5 s", "F20", "gap_s"),
    ("longest time that a client is without a connection in a rolling update", "2 s", "F4", "gap_ms"),
)
_TOLD_APART: Final = ("row", "test", "seed")


def line(told: dict[str, Any]) -> str:
    """Write one line of the table of rows."""
    figures = ", ".join(f"{name} {value}" for name, value in told.items() if name not in _TOLD_APART)
    title = str(told["test"]).removeprefix("test_").replace("_", " ")
    return f"| {told['row']} | {title} | {figures} | {told['seed']} |"


def goal_lines(measured: list[dict[str, Any]]) -> list[str]:
    """Write the lines of the goals that were measured."""
    found = []
    for text, bound, row, figure in GOALS:
        values = [one[figure] for one in measured if one["row"] == row and figure in one]
        if values:
            unit = figure.rpartition("_")[2]
            found.append(f"| {text} | {bound} | {max(values)} {unit} | {row} |")
    return found


def order(line: str) -> tuple[int, str]:
    """Sort F6 before F15."""
    number = re.match(r"\| F(\d+) \|", line)
    return (int(number.group(1)) if number else 0, line)


def title_of(line: str) -> tuple[str, ...]:
    """Tell what a line is about."""
    return tuple(part.strip() for part in line.split("|")[1:3])


def replaced(page: str, name: str, lines: list[str]) -> str:
    """Put lines in the place of older ones between the marks of ``name``; the head of the table stays."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    table, _, after = rest.partition(end)
    head, rows = table.splitlines()[:2], {title_of(row): row for row in table.splitlines()[2:]}
    rows |= {title_of(row): row for row in lines}
    body = "\n".join([*head, *sorted(rows.values(), key=order)])
    return f"{before}{begin}{body}\n{end}{after}"


def main() -> None:
    """Put the newest figures in the place of the older ones."""
    measured = [json.loads(path.read_text()) for path in sorted((ROOT / "build" / "faults").glob("*.json"))]
    page = replaced(PAGE.read_text(), "measured", [line(told) for told in measured])
    PAGE.write_text(replaced(page, "goals", goal_lines(measured)))


if __name__ == "__main__":
    main()
