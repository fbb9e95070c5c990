"""run.py [NAME...]: break the code in each known way and see that the suite catches it; `make mutants` calls it.

NAME picks mutants of tests/mutants/*.toml, or all of one part (state, scheduler, ...). `--list` lists them.
Prints one line for each. Exit code: 0 when each was caught; 1 when one lives, does not run, or no longer applies;
2 for a name that there is not, or when the tests fail on the code as it is.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kit.mutants import catalogue
from kit.mutation import Bench, Ruling, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.mutants import Mutant

_MOST_PLACES = 4


def chosen(names: Sequence[str]) -> list[Mutant]:
    """Pick mutants by name or part; all without a name.

    :raises LookupError: there is no such one.
    """
    every = catalogue()
    if unknown := set(names) - {mutant.name for mutant in every} - {mutant.part for mutant in every}:
        raise LookupError(f"there is no mutant or part {', '.join(sorted(unknown))}; --list lists them")
    return [mutant for mutant in every if not names or mutant.name in names or mutant.part in names]


def line(ruling: Ruling) -> str:
    """Write one line of the table, and below it why a mutant was not caught."""
    mutant = ruling.mutant
    told = f"{ruling.verdict:<7} {ruling.took_s:5.1f} s  {mutant.name:<34} {mutant.breaks}"
    return told if ruling.verdict is Verdict.CAUGHT else f"{told}\n{ruling.why.rstrip()}"


def main(arguments: Sequence[str]) -> int:
    """Do what the first lines of this file say."""
    try:
        mutants = chosen([word for word in arguments if word != "--list"])
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    if "--list" in arguments:
        print("\n".join(f"{mutant.name:<34} {mutant.breaks}" for mutant in mutants))
        return 0
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lingua-mutants-") as directory:
        bench = Bench(Path(directory), min(_MOST_PLACES, os.cpu_count() or 1))
        if trouble := bench.trouble(mutants):
            print(f"these tests do not pass on the code as it is:\n{trouble}", file=sys.stderr)
            return 2
        print(f"the tests pass on the code as it is ({time.monotonic() - began_s:.0f} s)", flush=True)
        caught = 0
        for ruling in bench.rule(mutants):
            caught += ruling.verdict is Verdict.CAUGHT
            print(line(ruling), flush=True)
    print(f"{caught} of {len(mutants)} mutants caught in {time.monotonic() - began_s:.0f} s")
    return 0 if caught == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
