"""Words as they are heard: one line that grows on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.text import Text

from lingua_client.cli.output import plain

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

    from lingua_client.events import Partial

#: Without a terminal a line cannot grow, so it is printed anew each time it has this many more words.
_PLAIN_STEP_WORDS = 4


class Growing:
    """A line that grows while partials come and goes away when the final words are printed above it.

    ``shown`` counts the different states that were shown.
    """

    def __init__(self, console: Console, indent: str = "", *, plain_partials: bool = False) -> None:
        self._console = console
        self._indent = indent
        self._plain_partials = plain_partials
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self._last = ""
        self._printed = 0
        self.shown = 0

    def __enter__(self) -> Self:
        """Take the lowest line of the terminal."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Give the line back."""
        if self._live:
            self._live.stop()

    def show(self, partial: Partial) -> None:
        """Show what is heard so far; what may still change is dim."""
        words = plain(partial.text)
        if not words or words == self._last:
            return
        self._last = words
        self.shown += 1
        if self._live:
            self._live.update(self._text(partial), refresh=True)
        elif self._plain_partials and len(words.split()) >= self._printed + _PLAIN_STEP_WORDS:
            self._printed = len(words.split())
            self._console.print(self._text(partial))

    def clear(self) -> None:
        """Empty the line: its utterance is over."""
        self._last = ""
        self._printed = 0
        if self._live:
            self._live.update(Text(""), refresh=True)

    def _text(self, partial: Partial) -> Text:
        words = plain(partial.text)
        stable = plain(partial.stable) if partial.text.startswith(partial.stable) else ""
        tentative = words[len(stable) :]
        return Text.assemble(self._indent, ("... ", "dim"), stable, (tentative, "dim italic"))
