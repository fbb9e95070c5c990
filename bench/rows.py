"""One measured figure beside its reference, and the table and file that hold them all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """A figure. ``reference`` was measured in the same run; ``ratio`` is value / reference; ``samples`` how many
    measurements stand behind the value."""

    name: str
    value: float
    unit: str
    reference: float
    ratio: float
    samples: int


def row(name: str, value: float, unit: str, reference: float, samples: int) -> Row:
    """Make a row; without a reference to divide by the ratio is 0."""
    ratio = value / reference if reference else 0.0
    return Row(name, round(value, 4), unit, round(reference, 4), round(ratio, 4), samples)


def percentile(values: Sequence[float], share: float) -> float:
    """Pick the value that ``share`` (0..1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))] if ordered else 0.0


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(each) for each in rows], indent=2) + "\n")


def show(rows: Sequence[Row]) -> None:
    """Print one table."""
    table = Table(title="Lingua, measured beside its references")
    table.add_column("name")
    for title in ("value", "reference", "ratio", "samples"):
        table.add_column(title, justify="right")
    for each in rows:
        value = f"{each.value:,.2f} {each.unit}"
        table.add_row(each.name, value, f"{each.reference:,.2f}", f"{each.ratio:.2f}", str(each.samples))
    Console().print(table)
