"""Find an order of what was told of one job, as the times allow, that its state machine could have taken (H10).

Each step was true at some moment between its beginning and its end. Where answers were lost, steps that nobody saw may
lie between; where the store went back to an older state, so may the job. It is a search over orders: a job has ten or
twenty steps, most of them one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.job_steps import NONE, after, hidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kit.job_steps import State, Step

_MOST_LOOKS = 200_000


@dataclass(frozen=True, slots=True)
class Unseen:
    """What the checker can't know. ``windows``: times in which steps may have been taken that nobody saw; ``returns``:
    times at which the store may have gone back to an older state; ``durable``: but not behind what was told as sure."""

    windows: tuple[tuple[float, float], ...] = ()
    returns: tuple[float, ...] = ()
    durable: bool = False


@dataclass(slots=True)
class _Search:
    steps: Sequence[Step]
    unseen: Unseen
    seen: set[tuple[int, State, frozenset[State], int]] = field(default_factory=set)
    furthest: int = 0

    def order(self, done: int, state: State, past: frozenset[State], returned: int) -> bool:
        """Tell whether the steps that are not in ``done`` can follow."""
        whole = (1 << len(self.steps)) - 1
        self.furthest = max(self.furthest, done, key=int.bit_count)
        if done == whole:
            return True
        key = (done, state, past, returned)
        if key in self.seen:
            return False
        self.seen.add(key)
        if len(self.seen) > _MOST_LOOKS:
            raise RecursionError
        return any(
            self.order(done | 1 << number, new, self._past(self.steps[number], past, new), back)
            for number in self._next(done)
            for before, back in self._before(self.steps[number], state, past, returned)
            for new in after(self.steps[number], before)
        )

    def _next(self, done: int) -> list[int]:
        left = [number for number in range(len(self.steps)) if not done >> number & 1]
        first_end = min(self.steps[number].ended_s for number in left)
        return [number for number in left if self.steps[number].began_s <= first_end]

    def _before(self, step: Step, state: State, past: frozenset[State], returned: int) -> Iterable[tuple[State, int]]:
        """Name the states in which the step may have met the job."""
        found = {(state, returned)}
        if any(began <= step.ended_s and step.began_s <= ended for began, ended in self.unseen.windows):
            found |= {(one, returned) for one in _closure({state})}
        for number, at_s in enumerate(self.unseen.returns[returned:], returned + 1):
            if at_s <= step.ended_s:
                found |= {(one, number) for one in past}
        return found

    def _past(self, step: Step, past: frozenset[State], new: State) -> frozenset[State]:
        if not self.unseen.returns:
            return past
        return frozenset({new}) if step.sure and self.unseen.durable else past | {new}


def _closure(states: set[State]) -> set[State]:
    found, new = set(states), set(states)
    while new:
        new = {one for state in new for one in hidden(state) if one.attempt <= _MOST_ATTEMPTS} - found
        found |= new
    return found


#: What no job of the tests may exceed.
_MOST_ATTEMPTS = 3


def disorder(steps: Sequence[Step], unseen: Unseen) -> str:
    """Say what can't have been, or nothing."""
    ordered = sorted(steps, key=lambda step: (step.began_s, step.ended_s))
    search = _Search(ordered, unseen)
    try:
        if search.order(0, NONE, frozenset({NONE}), 0):
            return ""
    except RecursionError:
        return f"more than {_MOST_LOOKS} looks at {len(ordered)} steps found no order"
    left = [str(step) for number, step in enumerate(ordered) if not search.furthest >> number & 1]
    done = [str(step) for number, step in enumerate(ordered) if search.furthest >> number & 1]
    return f"no order explains [{'; '.join(left[:4])}] after [{'; '.join(done)}]"
