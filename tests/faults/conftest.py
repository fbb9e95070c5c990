"""Rows of the fault catalogue: ``make faults ROW=F6 SEED=7`` picks one; each writes what it measured into a report.

What was recorded of a row stays in build/faults/ROW.TEST, of a failed one in build/faults/ROW.TEST.SEED, where it can
be looked at again (``tests/faults/check.py``).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kit.seeds import chosen_seed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

REPORT = Path(__file__).resolve().parents[2] / "build" / "faults"
_SEED = pytest.StashKey[int]()
_KEPT = ("*.jsonl", "*.log", "snapshot-*.json.gz")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep only the rows that were asked for, those first that may take longest; write rows into the report."""
    for item in items:
        marker = item.get_closest_marker("row")
        item.user_properties += [("row", marker.args[0])] if marker else []
        if "operator_" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group("operators"))  # they share one API server
    items.sort(key=_longest_s, reverse=True)
    wanted = {row for row in os.environ.get("LINGUA_ROW", "").upper().split(",") if row}
    if wanted:
        out = [item for item in items if item.get_closest_marker("row") and _row(item) not in wanted]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Where everything random in this run comes from; printed, and set again with SEED."""
    seed = chosen_seed()
    request.node.stash[_SEED] = seed
    return seed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what was recorded, and say where it is when the row failed."""
    report = yield
    folder = item.funcargs.get("tmp_path") if isinstance(item, pytest.Function) else None
    if call.when == "call" and isinstance(folder, Path) and any(folder.rglob("rig.jsonl")):
        seed = item.stash.get(_SEED, 0)
        kept = REPORT / (f"{_name(item)}.{seed}" if report.failed else _name(item))
        _keep(folder, kept)
        if report.failed:
            report.sections.append(("what was recorded", _told(item, kept, seed)))
    return report


@pytest.fixture
def figures(request: pytest.FixtureRequest, seed: int) -> Iterator[dict[str, Any]]:
    """What the row measured; written to build/faults/ROW.NAME.json when it passed."""
    measured: dict[str, Any] = {}
    yield measured
    if measured:
        REPORT.mkdir(parents=True, exist_ok=True)
        told = {"row": _row(request.node), "test": request.node.name, "seed": seed} | measured
        (REPORT / f"{_name(request.node)}.json").write_text(json.dumps(told, indent=1) + "\n")


def _longest_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


def _row(item: pytest.Item) -> str:
    marker = item.get_closest_marker("row")
    assert marker is not None, f"{item.name} belongs to no row"
    return str(marker.args[0])


def _name(item: pytest.Item) -> str:
    return f"{_row(item)}.{item.name}"


def _keep(folder: Path, kept: Path) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    for pattern in _KEPT:
        for path in folder.rglob(pattern):
            place = kept / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def _told(item: pytest.Item, kept: Path, seed: int) -> str:
    place = kept.relative_to(REPORT.parents[1])
    again = f"make faults ROW={_row(item)} SEED={seed}"
    return f"seed {seed}, repeat it: {again}\nlook again: .venv/bin/python tests/faults/check.py {place}"
