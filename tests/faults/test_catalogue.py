"""Every row of the fault catalogue has a test that holds it."""

from __future__ import annotations

import re
from pathlib import Path

from kit.catalogue import OPERATORS, ROWS

SUITES = [Path(__file__).parent, Path(__file__).parents[1] / "operator_"]
_MARK = re.compile(r'^@pytest\.mark\.row\("(\w+)"\)$', re.MULTILINE)


def rows_of(suite: Path) -> set[str]:
    return {row for path in suite.glob("test_*.py") for row in _MARK.findall(path.read_text())}


def test_the_catalogue_has_41_rows() -> None:
    assert list(ROWS) == [f"F{number}" for number in range(1, 42)]


def test_every_row_has_a_test() -> None:
    faults, operators = map(rows_of, SUITES)
    assert operators == OPERATORS
    assert faults | operators == set(ROWS)
