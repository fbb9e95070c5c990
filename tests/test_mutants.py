"""The seeded mutants themselves: each still applies to the code, and the run that judges them can tell a living one."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kit.mutants import ROOT, Mutant, NoLongerApplies, catalogue
from kit.mutation import Bench, Ran, Verdict, judged
from kit.outcomes import ASSERTED, HUNG, PASSED

if TYPE_CHECKING:
    from pathlib import Path

ALL = catalogue()

TWICE = '"""A module."""\n\n\ndef twice(number: int) -> int:\n    return number * 2\n'
TESTS = """
import doubling
import pytest


@pytest.mark.parametrize("number", [3, 4])
def test_it_doubles(number):
    assert doubling.twice(number) == number + number


def test_it_is_there():
    assert callable(doubling.twice)


def test_nought():
    assert doubling.twice(0) == 0
"""
MUTANT = Mutant(
    name="thrice",
    part="sample",
    breaks="it doubles",
    file="wire/doubling.py",
    old="number * 2",
    new="number * 3",
    caught_by=("tests/test_doubling.py::test_it_doubles",),
    still_passes=("tests/test_doubling.py::test_it_is_there",),
)


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_each_mutant_still_applies_and_names_tests_that_there_are(mutant: Mutant) -> None:
    broken = mutant.mutated(ROOT)
    if mutant.file.endswith(".py"):
        ast.parse(broken)
    for test in mutant.tests:
        file, _, name = test.partition("::")
        pattern = rf"^(async )?def {re.escape(name.partition('[')[0])}\("
        assert re.search(pattern, (ROOT / file).read_text(), re.MULTILINE), f"{test} is no test any more"


def test_there_are_at_least_fifteen_in_every_part_of_the_system() -> None:
    assert len(ALL) >= 15
    assert {"lua", "scheduler", "client", "node", "operator"} <= {mutant.file.partition("/")[0] for mutant in ALL}


def test_a_mutant_whose_text_has_gone_says_so(tmp_path: Path) -> None:
    (tmp_path / "wire").mkdir()
    (tmp_path / "wire" / "doubling.py").write_text("nothing of it")
    with pytest.raises(
        NoLongerApplies, match=r"mutant thrice no longer applies: update it in tests/mutants/sample\.toml"
    ):
        MUTANT.mutated(tmp_path)


@pytest.mark.parametrize(
    ("caught", "still", "verdict"),
    [
        (ASSERTED, PASSED, Verdict.CAUGHT),
        (PASSED, PASSED, Verdict.LIVES),
        ("ImportError", PASSED, Verdict.BROKEN),
        ("failed in setup", PASSED, Verdict.BROKEN),
        ("skipped in setup", PASSED, Verdict.BROKEN),
        (HUNG, PASSED, Verdict.BROKEN),
        (ASSERTED, ASSERTED, Verdict.BROKEN),
        (ASSERTED, "TypeError", Verdict.BROKEN),
    ],
)
def test_only_a_failed_assertion_of_a_program_that_runs_catches_a_mutant(
    caught: str, still: str, verdict: Verdict
) -> None:
    kinds = {MUTANT.caught_by[0] + "[3]": caught, MUTANT.caught_by[0] + "[4]": caught, MUTANT.still_passes[0]: still}
    assert judged(MUTANT, Ran(kinds, ""))[0] is verdict


def test_a_test_that_was_not_run_catches_nothing() -> None:
    assert judged(MUTANT, Ran({}, ""))[0] is Verdict.BROKEN


def test_a_test_with_parameters_of_which_one_does_not_notice_lets_a_mutant_live() -> None:
    test = MUTANT.caught_by[0]
    kinds = {f"{test}[3]": PASSED, f"{test}[4]": ASSERTED, MUTANT.still_passes[0]: PASSED}
    assert judged(MUTANT, Ran(kinds, ""))[0] is Verdict.LIVES


def test_the_bench_tells_a_caught_one_a_living_one_a_broken_one_and_a_stale_one_apart(tmp_path: Path) -> None:
    root = sample(tmp_path / "root")
    blind = replace(MUTANT, name="blind", caught_by=("tests/test_doubling.py::test_nought",))
    broken = replace(MUTANT, name="broken", new="numbers * 2")
    unread = replace(MUTANT, name="unread", new="number *")
    stale = replace(MUTANT, name="stale", old="number + number")
    (tmp_path / "bench").mkdir()
    bench = Bench(tmp_path / "bench", 1, root)
    assert bench.trouble([MUTANT, blind]) == ""
    verdicts = [ruling.verdict for ruling in bench.rule([MUTANT, blind, broken, unread, stale])]
    assert verdicts == [Verdict.CAUGHT, Verdict.LIVES, Verdict.BROKEN, Verdict.BROKEN, Verdict.STALE]
    assert (root / "wire" / "doubling.py").read_text() == TWICE
    assert {path.read_text() for path in (tmp_path / "bench").glob("tree-*/wire/doubling.py")} == {TWICE}


def test_a_name_that_there_is_not_is_told() -> None:
    command = [sys.executable, "tests/mutants/run.py", "nobody"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, "there is no mutant or part nobody; --list lists them\n")


def sample(root: Path) -> Path:
    """Write a small tree with one module and its tests."""
    for folder in ("wire", "tests/kit"):
        (root / folder).mkdir(parents=True)
    (root / "wire" / "doubling.py").write_text(TWICE)
    (root / "tests" / "test_doubling.py").write_text(TESTS)
    (root / "tests" / "kit" / "outcomes.py").write_text((ROOT / "tests" / "kit" / "outcomes.py").read_text())
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return root
