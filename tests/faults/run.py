"""run.py [PYTEST ARGUMENTS]: run the rows of the fault catalogue and tell of each whether it held.

Most rows wait most of the time, so some run beside each other; those that measure what others would spoil (``alone``)
run after them. LINGUA_ROW=F6,F15 picks rows, LINGUA_SEED repeats one, LINGUA_WORKERS says how many run at once.
Exit code 1: a row failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kit.catalogue import OPERATORS, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "faults"
WORKERS: Final = os.environ.get("LINGUA_WORKERS") or "3"
#: pytest's: all passed; no test was left to run.
_WELL: Final = (0, 5)
_BESIDE: Final = ("-m", "row and not alone", "--dist", "loadgroup", "-n")
_ALONE: Final = ("-m", "row and alone", "-n", "0")


def wanted() -> list[str]:
    """Name the rows that were asked for.

    :raises SystemExit: one is not in the catalogue.
    """
    asked = [row for row in os.environ.get("LINGUA_ROW", "").upper().split(",") if row]
    unknown = sorted(set(asked) - set(ROWS))
    if unknown:
        sys.exit(f"there is no row {', '.join(unknown)}; rows are F1 to F{len(ROWS)}")
    return asked or list(ROWS)


def run(name: str, selection: tuple[str, ...], arguments: list[str]) -> int:
    """Run a part of the rows; return pytest's exit code."""
    report = BUILD / f"{name}.xml"
    report.unlink(missing_ok=True)
    folders = ["tests/faults", *(["tests/operator_"] if OPERATORS & set(wanted()) else [])]
    command = [sys.executable, "-m", "pytest", *folders, *selection, f"--junitxml={report}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def outcomes() -> Iterator[tuple[str, str, float, str]]:
    """Read of each test: its row, its name, its seconds, and why it failed ("" if it did not)."""
    for report in sorted(BUILD.glob("*.xml")):
        for case in ElementTree.parse(report).iter("testcase"):
            row = next((one.get("value", "") for one in case.iter("property") if one.get("name") == "row"), "")
            trouble = next((one.tag for one in case if one.tag in ("failure", "error", "skipped")), "")
            if row:
                yield row, case.get("name", ""), float(case.get("time", 0)), trouble


def table(seconds: float) -> str:
    """Write of each row whether it held."""
    found: dict[str, list[tuple[str, float, str]]] = defaultdict(list)
    for row, name, took_s, trouble in outcomes():
        found[row].append((name, took_s, trouble))
    lines = [f"{'row':4} {'':8} {'tests':>5} {'s':>5}"]
    for row, title in ROWS.items():
        tests = found[row]
        state = "not run" if not tests else "FAILED" if any(trouble for *_, trouble in tests) else "passed"
        lines.append(f"{row:4} {state:8} {len(tests):5} {sum(took_s for _, took_s, _ in tests):5.0f}  {title}")
        lines += [f"       {trouble}: {name}" for name, _, trouble in tests if trouble]
    held = sum(bool(tests) and not any(trouble for *_, trouble in tests) for tests in found.values())
    lines.append(f"{held} of {len(ROWS)} rows held, in {seconds / 60:.1f} min")
    return "\n".join(lines)


def main() -> int:
    """Run all rows, or those that were asked for."""
    BUILD.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    if OPERATORS & set(wanted()):
        subprocess.run([ROOT / "setup" / "kubernetes"], cwd=ROOT, check=True)
    arguments = sys.argv[1:]
    workers = WORKERS if len(wanted()) > 1 else "0"
    codes = [run("beside", (*_BESIDE, workers), arguments), run("alone", _ALONE, arguments)]
    sys.stdout.write(f"\n{table(time.monotonic() - began_s)}\n")
    subprocess.run([sys.executable, ROOT / "tests" / "faults" / "report.py"], check=True)
    return max((code for code in codes if code not in _WELL), default=0)


if __name__ == "__main__":
    sys.exit(main())
