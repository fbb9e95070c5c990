"""What is sent again after a resume: audio from a sample on, and the ends of utterances at their places. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection

    from lingua_wire import session_messages as wire


@dataclass(frozen=True, slots=True)
class Piece:
    """Audio that is streamed: samples from ``start`` to ``end``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class End:
    """The end of an utterance; ``name`` is this client's own for it, empty where the service had cut by itself."""

    at: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Whole:
    """An utterance that was sent again whole: its samples, its index, and what it was sent again for."""

    start: int
    end: int
    index: int
    failed: wire.UtteranceFailed = field(repr=False)


Step: TypeAlias = Piece | End | Whole


@dataclass(slots=True)
class Track:
    """Remember where utterances ended in what was sent, for as long as it may have to be sent again."""

    _ends: list[End] = field(default_factory=list)
    _wholes: list[Whole] = field(default_factory=list)

    def ended(self, at: int, name: str = "") -> None:
        """Note the end of an utterance; a nameless one where an end is known already tells nothing new."""
        if name or all(end.at != at for end in self._ends):
            self._ends.append(End(at, name))
            self._ends.sort(key=lambda end: end.at)

    def whole(self, whole: Whole) -> None:
        """Note an utterance sent whole; the latest one of the same audio counts."""
        self._wholes = [other for other in self._wholes if other.start != whole.start] + [whole]

    def forget_below(self, sample: int) -> None:
        """Forget what lies before ``sample``: it has its outcome."""
        self._ends = [end for end in self._ends if end.at >= sample]
        self._wholes = [whole for whole in self._wholes if whole.end > sample]

    def steps(self, start: int, end: int, unanswered: Collection[str]) -> list[Step]:
        """List what to send again, from sample ``start`` to ``end``.

        An end right at ``start`` counts only if it is still unanswered: the service has that audio already.
        """
        steps: list[Step] = [
            each for each in self._ends if start < each.at <= end or (each.at == start and each.name in unanswered)
        ]
        wholes = [whole for whole in self._wholes if start <= whole.start and whole.end <= end]
        steps = [_named(each) for each in steps if not _inside(each, wholes)] + list(wholes)
        steps.sort(key=_place)
        return _with_audio(steps, start, end)


def _named(step: Step) -> Step:
    """Name an end for the service's report of it, which says that nothing is owed for it any more."""
    return End(step.at, f"c{step.at}") if isinstance(step, End) and not step.name else step


def _inside(step: Step, wholes: list[Whole]) -> bool:
    return isinstance(step, End) and any(whole.start < step.at <= whole.end and not step.name for whole in wholes)


def _place(step: Step) -> tuple[int, int]:
    return (step.start, 1) if isinstance(step, Whole | Piece) else (step.at, 0)


def _with_audio(steps: list[Step], start: int, end: int) -> list[Step]:
    told: list[Step] = []
    at = start
    for step in steps:
        begins, ends = (step.start, step.end) if isinstance(step, Whole | Piece) else (step.at, step.at)
        if begins > at:
            told.append(Piece(at, begins))
        told.append(step)
        at = max(at, ends)
    if at < end:
        told.append(Piece(at, end))
    return told
