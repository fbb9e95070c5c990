"""What CI runs, and how: the list in .ci/run, and the steps of .ci/steps.sh on small suites that fail on purpose."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parent.parent / ".ci"
PASSES = "def test_good(): pass\n"
FAILS = "def test_bad(): raise AssertionError\n"
LASTS = "import time\ndef test_long(): time.sleep(600)\n"
SIX_FAIL = "import pytest\n@pytest.mark.parametrize('number', range(6))\ndef test_bad(number): assert False\n"
NO_IMPORT = "import nothing_of_this_name\n"
FAILS_ONCE = """
from pathlib import Path
def test_once():
    seen = Path("seen").exists()
    Path("seen").touch()
    assert seen
"""
ENDS_BADLY_ONCE = """
from pathlib import Path
import pytest
@pytest.fixture(scope="session")
def server():
    yield
    seen = Path("seen").exists()
    Path("seen").touch()
    assert seen
def test_it(server): pass
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    python = shlex.quote(sys.executable)
    (tmp_path / "Makefile").write_text(f"test:\n\t@{python} -m pytest -ra test_it.py $(ARGS)\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return tmp_path


def ci(place: Path, *lines: str, all_s: int = 300) -> tuple[int, str]:
    """Run a list of steps; return the exit code and what was printed."""
    script = "\n".join([f"ALL_S={all_s}", f". {shlex.quote(str(CI / 'steps.sh'))}", *lines, "finish"])
    # Below `make test`, make would speak as its child does.
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(
        ["bash", "-c", script], cwd=place, env=clean, capture_output=True, text=True, timeout=110, check=False
    )
    return done.returncode, done.stdout


def test_a_test_that_fails_once_is_run_again_alone_and_named(place: Path) -> None:
    (place / "test_it.py").write_text(PASSES + FAILS_ONCE)
    code, told = ci(place, "suite small 60 make test")
    assert code == 0
    assert "== small: run again, alone:\n  test_it.py::test_once\n" in told
    assert "1 failed, 1 passed in" in told
    assert re.search(r"^=* 1 passed(, 1 deselected)? in", told, re.MULTILINE)
    assert told.endswith("failed once, passed when run again:\n  test_it.py::test_once\nall steps passed\n")


def test_a_test_that_fails_twice_fails_the_run(place: Path) -> None:
    (place / "test_it.py").write_text(PASSES + FAILS)
    code, told = ci(place, "suite small 60 make test")
    assert code == 1
    assert "run again, alone" in told
    assert told.endswith("failed: small\n")


@pytest.mark.parametrize("broken", [SIX_FAIL, ENDS_BADLY_ONCE, NO_IMPORT], ids=["six", "teardown", "import"])
def test_what_is_no_single_unlucky_test_is_not_run_again(place: Path, broken: str) -> None:
    (place / "test_it.py").write_text(broken)
    code, told = ci(place, "suite small 60 make test")
    assert code == 1
    assert "run again" not in told
    assert told.endswith("failed: small\n")


def test_a_suite_that_takes_too_long_is_ended_and_fails(place: Path) -> None:
    (place / "test_it.py").write_text(LASTS)
    code, told = ci(place, "suite small 5 make test", "step other 5 echo still run")
    assert code == 1
    assert "== small: exit 124 after" in told
    assert "run again" not in told
    assert "still run\n" in told


def test_a_later_step_is_left_out_where_time_is_short_and_the_first_ones_are_not(place: Path) -> None:
    code, told = ci(place, "step first 60 echo said", "later step second 60 echo not said", all_s=30)
    assert code == 0
    assert "\nsaid\n" in told
    assert "== second: left out: 30 s are left of 30, and it may take 60" in told
    assert told.endswith("left out, for want of time: second\nall steps passed\n")


def test_a_step_that_is_told_does_not_count_and_is_told(place: Path) -> None:
    code, told = ci(place, "told sad 60 bash -c 'echo why; exit 3'")
    assert code == 0
    assert "why\n" in told
    assert "== sad: exit 3 after" in told
    assert "== sad: failed, which is not counted yet" in told


def steps() -> list[tuple[str, str, int, str]]:
    """List the steps of .ci/run: how (``step``, ``suite``, ``later suite`` ...), name, seconds, command."""
    pattern = r"^(?:has_\w+ && )?((?:later )?(?:step|suite|told)) (\S+) (\d+) (.+)$"
    found = re.findall(pattern, (CI / "run").read_text(), re.MULTILINE)
    return [(how, name, int(seconds), command) for how, name, seconds, command in found]


def test_the_tests_come_first_then_lint_and_neither_is_ever_left_out() -> None:
    assert [(how, name) for how, name, _, _ in steps()][:3] == [("step", "set-up"), ("suite", "test"), ("step", "lint")]
    assert steps()[1][3] == "make test"
    assert all(how.startswith("later ") for how, _, _, _ in steps()[3:])


def test_all_steps_end_in_time() -> None:
    text = (CI / "run").read_text()
    (all_s,) = re.findall(r"^ALL_S=(\d+)$", text, re.MULTILINE)
    assert int(all_s) <= 85 * 60
    assert re.search(r"^  \[ \"\$seconds\" -le \"\$\(left\)\" \]", (CI / "steps.sh").read_text(), re.MULTILINE)
