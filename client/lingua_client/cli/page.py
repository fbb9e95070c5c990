"""What the demo looks like: headings, labelled lines, and steps with their time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.rule import Rule
from rich.text import Text

from lingua_client.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

_LABEL_WIDTH = 12


class Page:
    """Print onto a console, the same on a terminal and in a file but for colour and movement."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._done = "✓" if console.encoding.lower().startswith("utf") else "ok"

    def heading(self, text: str) -> None:
        """Begin an act."""
        self.console.print()
        if self.console.is_terminal:
            self.console.print(Rule(Text(text, style="bold"), align="left", style="dim"))
        else:
            self.console.print(Text(f"== {text}"))

    def line(self, label: str, value: str, *, style: str = "", note: str = "") -> None:
        """Say one thing under its label; ``note`` follows dimmed."""
        text = Text.assemble((f"  {label:<{_LABEL_WIDTH}}", "dim"), (plain(value), style))
        if note:
            text.append(f"  {plain(note)}", style="dim")
        self.console.print(text, soft_wrap=True)

    def done(self, label: str, value: str, note: str = "") -> None:
        """Tick something off."""
        text = Text.assemble((f"  {self._done} ", "bold green"), (f"{label:<{_LABEL_WIDTH - 2}}", "dim"), plain(value))
        if note:
            text.append(f"  {plain(note)}", style="dim")
        self.console.print(text, soft_wrap=True)

    @contextmanager
    def step(self, label: str, doing: str) -> Iterator[list[str]]:
        """Show that something is being done, then tick it off with its time; the block appends what came of it."""
        started = time.monotonic()
        came: list[str] = []
        with self.console.status(Text(f"{label}: {doing}")):
            yield came
        self.done(label, came[0] if came else doing, f"{time.monotonic() - started:.1f} s")
