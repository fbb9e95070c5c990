"""Run mutants: each in a copy of the tree, with the tests that must fail and those that must not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from kit.mutants import ROOT, NoLongerApplies
from kit.outcomes import ASSERTED, PASSED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kit.mutants import Mutant

#: Longest time of the run of one mutant; a test that hangs does not say that anything is wrong.
RUN_S: Final = 240.0
#: Longest time of the first run, on the code as it is: it has the tests of all mutants.
FIRST_RUN_S: Final = 500.0
#: How long a test waits for what a mutant keeps from happening. The same holds for the code as it is, which must do it.
PATIENCE_S: Final = 12.0
_SOURCES: Final = ("client", "lua", "node", "operator", "scheduler", "wire", "tests")
_LEFT_OUT: Final = (".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "build", "dist", "*.egg-info")
_TAIL_CHARS: Final = 3_000


class Verdict(StrEnum):
    """What became of a mutant; only the first is good."""

    CAUGHT = "caught"
    LIVES = "LIVES"
    """A test that must catch it passes."""
    BROKEN = "BROKEN"
    """It does not run: a test failed otherwise than by its own assertion, or one that must pass did not."""
    STALE = "STALE"
    """Its text is no longer in the code."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of a mutant, why, and how long that took."""

    mutant: Mutant
    verdict: Verdict
    why: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run of pytest came to: a kind for each test (kit.outcomes), and the end of what it printed."""

    kinds: dict[str, str]
    tail: str

    def of(self, test: str) -> set[str]:
        """Tell what became of a test, with each of its parameters where none are named."""
        kinds = {kind for name, kind in self.kinds.items() if name == test or name.startswith(f"{test}[")}
        return kinds or {"not run"}


class Bench:
    """Copies of the tree, one for each run that goes on at the same time."""

    def __init__(self, directory: Path, places: int, root: Path = ROOT) -> None:
        self._places = places
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(places):
            tree = directory / f"tree-{number}"
            shutil.copytree(root, tree, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
            self._free.put(tree)

    def trouble(self, mutants: Sequence[Mutant]) -> str:
        """Run the tests of all mutants on the code as it is; tells those that do not pass, "" if all do."""
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        shares = [tests[number :: self._places] for number in range(self._places)]
        with ThreadPoolExecutor(self._places) as pool:
            rans = list(pool.map(self._first_run, [share for share in shares if share]))
        whole = Ran({name: kind for ran in rans for name, kind in ran.kinds.items()}, "")
        if bad := _told(whole, tests, {PASSED}):
            return bad + "\n".join(ran.tail for ran in rans)
        return ""

    def rule(self, mutants: Sequence[Mutant]) -> Iterator[Ruling]:
        """Give the verdict on each mutant, in their order, several being run at the same time."""
        with ThreadPoolExecutor(self._places) as pool:
            yield from pool.map(self._rule, mutants)

    def _rule(self, mutant: Mutant) -> Ruling:
        began_s = time.monotonic()
        try:
            ran = self._run(mutant.tests, mutant, RUN_S)
        except NoLongerApplies as error:
            return Ruling(mutant, Verdict.STALE, str(error), time.monotonic() - began_s)
        verdict, why = judged(mutant, ran)
        return Ruling(mutant, verdict, why, time.monotonic() - began_s)

    def _first_run(self, tests: Sequence[str]) -> Ran:
        return self._run(tests, None, FIRST_RUN_S)

    def _run(self, tests: Sequence[str], mutant: Mutant | None, run_s: float) -> Ran:
        tree = self._free.get()
        try:
            with _broken(tree, mutant):
                return _pytest(tree, tests, run_s)
        finally:
            self._free.put(tree)


def judged(mutant: Mutant, ran: Ran) -> tuple[Verdict, str]:
    """Tell what a run says about a mutant, and why."""
    noticed = {ASSERTED, mutant.fails_with}
    wrong = _told(ran, mutant.caught_by, {PASSED, *noticed}) + _told(ran, mutant.still_passes, {PASSED})
    if wrong:
        return Verdict.BROKEN, wrong + ran.tail
    if blind := _told(ran, mutant.caught_by, noticed):
        return Verdict.LIVES, blind
    return Verdict.CAUGHT, ""


def _told(ran: Ran, tests: Sequence[str], wanted: set[str]) -> str:
    """List the tests of which anything else became than what is wanted."""
    found = {test: ran.of(test) - wanted for test in tests}
    return "".join(f"    {', '.join(sorted(kinds))}: {test}\n" for test, kinds in found.items() if kinds)


@contextmanager
def _broken(tree: Path, mutant: Mutant | None) -> Iterator[None]:
    """Put the mutant's text into a copy of the tree, and the code's own back at the end."""
    if mutant is None:
        yield
        return
    path = tree / mutant.file
    whole = path.read_text()
    path.write_text(mutant.mutated(tree))
    try:
        yield
    finally:
        path.write_text(whole)


def _pytest(tree: Path, tests: Sequence[str], run_s: float) -> Ran:
    """Run tests of a copy of the tree, on the code of that copy."""
    outcomes, scratch = tree.parent / f"{tree.name}.json", tree.parent / f"{tree.name}.tmp"
    outcomes.unlink(missing_ok=True)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(tree / source) for source in _SOURCES),
        # Two texts of one length written within a second would share their compiled form.
        "PYTHONDONTWRITEBYTECODE": "1",
        "LINGUA_OUTCOMES": str(outcomes),
        "LINGUA_PATIENCE_S": str(PATIENCE_S),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "kit.outcomes", f"--basetemp={scratch}", *tests]
    with subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            printed, _ = process.communicate(timeout=run_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed = f"{process.communicate()[0]}\nended: it took longer than {run_s:g} s"
    shutil.rmtree(scratch, ignore_errors=True)
    if not outcomes.is_file():
        return Ran({}, printed[-_TAIL_CHARS:])
    told = json.loads(outcomes.read_text())
    strangers = {name: file for name, file in told["packages"].items() if not Path(file).is_relative_to(tree)}
    assert not strangers, f"the tests ran on other code than that of the copy: {strangers}"
    return Ran(told["tests"], printed[-_TAIL_CHARS:])
