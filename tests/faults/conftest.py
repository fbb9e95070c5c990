"""Rows of the fault catalogue: ``make faults ROW=F6 SEED=7`` picks one; each writes what it measured into a report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kit.seeds import chosen_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

REPORT = Path(__file__).resolve().parents[2] / "build" / "faults"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep only the rows that were asked for."""
    wanted = {row for row in os.environ.get("LINGUA_ROW", "").upper().split(",") if row}
    if wanted:
        out = [item for item in items if item.get_closest_marker("row") and _row(item) not in wanted]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture
def seed() -> int:
    """Where everything random in this run comes from; printed, and set again with SEED."""
    return chosen_seed()


@pytest.fixture
def figures(request: pytest.FixtureRequest, seed: int) -> Iterator[dict[str, Any]]:
    """What the row measured; written to build/faults/ROW.NAME.json when it passed."""
    measured: dict[str, Any] = {}
    yield measured
    if measured:
        REPORT.mkdir(parents=True, exist_ok=True)
        told = {"row": _row(request.node), "test": request.node.name, "seed": seed} | measured
        (REPORT / f"{told['row']}.{request.node.name}.json").write_text(json.dumps(told, indent=1) + "\n")


def _row(item: pytest.Item) -> str:
    marker = item.get_closest_marker("row")
    assert marker is not None, f"{item.name} belongs to no row"
    return str(marker.args[0])
