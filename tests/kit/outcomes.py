"""A pytest plugin (``-p kit.outcomes``): what became of each test, as JSON, for who runs pytest as a process.

Writes ``$LINGUA_OUTCOMES``: ``{"tests": {node id: kind}, "packages": {name: file}}``. The kind is ``passed``,
``asserted`` (an assertion of the test's own body failed), ``hung``, or another one with its reason: the test did not
come as far as saying that the program is wrong.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

PASSED, ASSERTED, HUNG = "passed", "asserted", "hung"
_TESTS: dict[str, str] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what a phase of a test came to; the first one that is not well counts."""
    report = yield
    if report.passed:
        _TESTS.setdefault(item.nodeid, PASSED)
    elif _TESTS.get(item.nodeid, PASSED) == PASSED:
        _TESTS[item.nodeid] = _kind(report, call.excinfo.value if call.excinfo else None)
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note what can't be collected."""
    if report.failed:
        _TESTS[report.nodeid] = "collection failed"


def pytest_sessionfinish() -> None:
    """Write everything down."""
    packages = {name: module.__file__ for name, module in sys.modules.items() if _is_package(name)}
    Path(os.environ["LINGUA_OUTCOMES"]).write_text(json.dumps({"tests": _TESTS, "packages": packages}))


def _kind(report: pytest.TestReport, error: BaseException | None) -> str:
    if report.when != "call" or error is None:
        return f"{report.outcome} in {report.when}"
    leaves = _leaves(error)
    if any(str(leaf).startswith("Timeout") and isinstance(leaf, pytest.fail.Exception) for leaf in leaves):
        return HUNG
    if all(isinstance(leaf, AssertionError | pytest.fail.Exception) for leaf in leaves):
        return ASSERTED
    return ", ".join(sorted({type(leaf).__name__ for leaf in leaves}))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _is_package(name: str) -> bool:
    return name.startswith("lingua_") and "." not in name
