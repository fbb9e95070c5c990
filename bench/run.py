"""``python bench/run.py [NAME...]``: measure, print one table, write build/bench.json.

Each NAME picks a group: state, delay, idle, ack, base, sound, operator. Without a name all run, in that order. Every
reference is measured in the same run (the operator's are the goals of its design). Exit code 0 when all figures were
taken, 1 when one could not be.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import operator_bench
import processes
import resume_bench
import rows
import scheduler_bench
import sound_bench
import state_bench
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

#: For all that is measured and for the load: other programs get what these leave over.
PRIORITY = -15
OUTPUT = Path(__file__).resolve().parent.parent / "build" / "bench.json"
GROUPS: dict[str, Callable[[], list[rows.Row]]] = {
    "state": state_bench.measure,
    "delay": scheduler_bench.delays,
    "idle": scheduler_bench.idle_memory,
    "ack": scheduler_bench.audio_after_ack,
    "base": scheduler_bench.base_peers,
    "resume": resume_bench.gaps,
    "sound": sound_bench.first_sound,
    "operator": operator_bench.measure,
}


def main(names: list[str]) -> int:
    """Run the groups named, or all."""
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        print(f"no group {unknown[0]}; there are {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    console, taken, failed = Console(stderr=True), [], []
    with contextlib.suppress(PermissionError):  # root only: what else the machine does disturbs less
        os.nice(PRIORITY)
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {processes.LOAD_CORE})
    for name in names or list(GROUPS):
        with console.status(f"measuring {name}"):
            try:
                taken += GROUPS[name]()
            except RuntimeError as error:
                failed.append(f"{name}: {error}")
    rows.show(taken)
    rows.write(taken, OUTPUT)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
