"""Seeded mutants: known ways to break the code, each of which the suite must catch (docs/guarantees.md).

A mutant is an entry of ``tests/mutants/*.toml``: the text that it takes out of one file, what stands there instead,
which promise that breaks, and which tests must fail. Nothing here changes the checkout: a mutant is applied to a copy.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "mutants"


class NoLongerApplies(ValueError):
    """A mutant's text is not (or not just once) in its file any more."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One known way to break the code.

    :param part: the file of the catalogue it stands in. :param breaks: the promise or invariant, and what goes wrong.
    :param file: what is changed, from the root. :param old: is there once. :param new: stands there instead.
    :param caught_by: node ids of tests, each of which must fail.
    :param still_passes: node ids of tests that must pass all the same: the program runs, it is just wrong.
    :param fails_with: the error by which tests catch it that do not get as far as an assertion.
    """

    name: str
    part: str
    breaks: str
    file: str
    old: str
    new: str
    caught_by: tuple[str, ...]
    still_passes: tuple[str, ...]
    fails_with: str = ""

    @property
    def tests(self) -> tuple[str, ...]:
        """Name every test that is run with it."""
        return tuple(dict.fromkeys((*self.caught_by, *self.still_passes)))

    def mutated(self, root: Path) -> str:
        """Give the text of its file below ``root``, broken.

        :raises NoLongerApplies: the code has changed; the mutant must follow.
        """
        path = root / self.file
        text = path.read_text() if path.is_file() else ""
        found = text.count(self.old)
        if found != 1:
            raise NoLongerApplies(
                f"mutant {self.name} no longer applies: update it in tests/mutants/{self.part}.toml "
                f"(its text is {found} times in {self.file})"
            )
        return text.replace(self.old, self.new)


def catalogue(folder: Path = FOLDER) -> tuple[Mutant, ...]:
    """Read every mutant, in the order of the files and of their entries.

    :raises KeyError: an entry lacks a field. :raises ValueError: two have one name, or one changes nothing.
    """
    found = [mutant for path in sorted(folder.glob("*.toml")) for mutant in _read(path)]
    names = [mutant.name for mutant in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"several mutants have one name: {', '.join(sorted(twice))}")
    if idle := [mutant.name for mutant in found if mutant.old == mutant.new or not mutant.caught_by]:
        raise ValueError(f"these mutants change nothing or name no test: {', '.join(idle)}")
    return tuple(found)


def _read(path: Path) -> list[Mutant]:
    told: dict[str, Any] = tomllib.loads(path.read_text())
    return [
        Mutant(
            name=name,
            part=path.stem,
            breaks=entry["breaks"],
            file=entry["file"],
            old=entry["old"],
            new=entry["new"],
            caught_by=tuple(entry["caught_by"]),
            still_passes=tuple(entry.get("still_passes", told["still_passes"])),
            fails_with=entry.get("fails_with", ""),
        )
        for name, entry in told["mutants"].items()
    ]
