"""Clocks that are wrong and clocks that jump: a process reads the time of day that a file of the test says.

The monotonic clock stays true, as it does when somebody sets a machine's clock. Needs Debian's libfaketime.
"""

from __future__ import annotations

from pathlib import Path

#: Where Debian keeps the library, for whichever processor.
_LIBRARY = "*/faketime/libfaketimeMT.so.1"


class Clock:
    """A time of day that is ``offset_s`` away from the true one. :meth:`jump` changes it while processes run."""

    def __init__(self, file: Path, offset_s: int = 0) -> None:
        self._file = file
        self.jumps = 0
        self._write(offset_s)

    def jump(self, offset_s: int) -> None:
        """Be so far away from the true time from now on."""
        self._write(offset_s)
        self.jumps += 1

    @property
    def before(self) -> tuple[str, ...]:
        """Give the words before a command that let it read this clock."""
        return (
            "env",
            f"LD_PRELOAD={library()}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            # The file is read once a second: at each look, the store would do little else.
            "FAKETIME_CACHE_DURATION=1",
            "DONT_FAKE_MONOTONIC=1",
        )

    def program(self, directory: Path, command: Path) -> Path:
        """Write a program that runs ``command`` by this clock."""
        directory.mkdir(parents=True, exist_ok=True)
        made = directory / command.name
        made.write_text(f'#!/bin/sh\nexec {" ".join(self.before)} {command} "$@"\n')
        made.chmod(0o755)
        return made

    def _write(self, offset_s: int) -> None:
        # In one step: a process that reads half a file would see the true time.
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.rename(self._file)


def library() -> Path:
    """Find libfaketime."""
    found = sorted(Path("/usr/lib").glob(_LIBRARY))
    assert found, "this row sets clocks: install Debian's faketime"
    return found[0]
