"""How many nodes each fleet would need now, for an autoscaler to follow. Pure.

Pairs overlap: a job that waits could be served by several fleets. The fleet whose template clears the most waiting
seconds is asked first, so that few, versatile nodes are added and not one of each kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lingua_state.models import AUTO, Pair

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from lingua_operator.fleets.values import PairName
    from lingua_state.wants import Want

Key = tuple[str, str]
#: A job that began to wait just now counts as if it had waited this long, or it would count for nothing.
_LEAST_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Wait:
    """The jobs that wait for the same: how many, and how long the first has waited."""

    want: Want
    jobs: int
    oldest_s: float

    @property
    def seconds(self) -> float:
        """Bound from above how long all of them have waited together."""
        return self.jobs * self.job_seconds

    @property
    def job_seconds(self) -> float:
        """Bound from above how long one of them has waited."""
        return max(self.oldest_s, _LEAST_WAIT_S)


@dataclass(frozen=True, slots=True)
class Supply:
    """A fleet: what its nodes serve and how full they are. ``load`` and ``capacity`` are of nodes that take work.

    ``ceiling`` is the most nodes it can get; None: any number. What goes beyond is asked of the next fleet.
    """

    key: Key
    pairs: frozenset[PairName]
    max_jobs: int
    load: int = 0
    capacity: int = 0
    ceiling: int | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a fleet. ``waiting`` jobs are those it shall take; ``wanted_replicas`` nodes would just do."""

    waiting: int = 0
    waiting_seconds: float = 0.0
    oldest_wait_s: float = 0.0
    load: int = 0
    capacity: int = 0
    wanted_replicas: int = 0

    @property
    def free(self) -> int:
        """Count the jobs that could start now."""
        return max(0, self.capacity - self.load)

    @property
    def busy_ratio(self) -> float:
        """Tell which part of the capacity is in use; 0 where there is none."""
        return min(1.0, self.load / self.capacity) if self.capacity else 0.0


def serves(pairs: Collection[PairName], want: Want, offered: Collection[PairName]) -> bool:
    """Tell whether nodes with these pairs can take a job, by the rule of the scripts (prelude_choice.lua): all pairs it
    needs within one scope. Of the languages that ``auto`` may turn out to be only those count that anybody hears."""
    scopes = ("", *want.scopes)
    needed = _needed(want, scopes, offered)
    return any(all(f"{pair}{scope}" in pairs for pair in needed) for scope in scopes)


def share(supplies: Sequence[Supply], waits: Iterable[Wait]) -> dict[Key, Demand]:
    """Give each waiting job to one fleet, and count the nodes that each fleet needs for it and for what runs."""
    offered = frozenset[str]().union(*(supply.pairs for supply in supplies))
    open_waits = list(waits)
    asked: dict[Key, Demand] = {}
    left = sorted(supplies, key=lambda supply: supply.key)
    while left:
        chances = [_cleared(supply, open_waits, offered) for supply in left]
        best = max(range(len(left)), key=lambda index: chances[index])
        supply = left.pop(best)
        asked[supply.key], open_waits = _taken(supply, open_waits, offered)
    return asked


def pair_seconds(waits: Iterable[Wait]) -> dict[PairName, float]:
    """Sum how long jobs wait for each pair; for several languages it counts for each of their pairs."""
    found: dict[PairName, float] = {}
    for wait in waits:
        for scope in ("", *wait.want.scopes):
            for pair in _named(wait.want):
                found[f"{pair}{scope}"] = found.get(f"{pair}{scope}", 0.0) + wait.seconds
    return found


def _cleared(supply: Supply, waits: Sequence[Wait], offered: Collection[PairName]) -> float:
    """Sum the seconds that the fleet would clear, the longest waits first, as far as it can grow."""
    room = _room(supply)
    seconds = 0.0
    for wait in _longest_first(waits):
        if room <= 0:
            break
        if serves(supply.pairs, wait.want, offered):
            jobs = min(room, wait.jobs)
            seconds += jobs * wait.job_seconds
            room -= jobs
    return seconds


def _taken(supply: Supply, waits: Sequence[Wait], offered: Collection[PairName]) -> tuple[Demand, list[Wait]]:
    room = _room(supply)
    left: list[Wait] = []
    demand = Demand(load=supply.load, capacity=supply.capacity)
    for wait in _longest_first(waits):
        jobs = int(min(room, wait.jobs)) if serves(supply.pairs, wait.want, offered) else 0
        room -= jobs
        if jobs:
            demand = replace(
                demand,
                waiting=demand.waiting + jobs,
                waiting_seconds=demand.waiting_seconds + jobs * wait.job_seconds,
                oldest_wait_s=max(demand.oldest_wait_s, wait.oldest_s),
            )
        if jobs < wait.jobs:
            left.append(replace(wait, jobs=wait.jobs - jobs))
    wanted = math.ceil((supply.load + demand.waiting) / supply.max_jobs)
    return replace(demand, wanted_replicas=wanted), left


def _room(supply: Supply) -> float:
    if supply.ceiling is None:
        return math.inf
    return max(0, supply.ceiling * supply.max_jobs - supply.load)


def _longest_first(waits: Iterable[Wait]) -> list[Wait]:
    return sorted(waits, key=lambda wait: (-wait.oldest_s, str(wait.want)))


def _needed(want: Want, scopes: Sequence[str], offered: Collection[PairName]) -> list[str]:
    if want.both_ways:
        return _named(want)
    if not want.languages:
        return [str(want.pair)]
    heard = [pair for pair in _named(want) if any(f"{pair}{scope}" in offered for scope in scopes)]
    return heard or [str(want.pair)]


def _named(want: Want) -> list[str]:
    if want.both_ways:
        first, second = want.languages
        return [str(Pair(first, second)), str(Pair(second, first))]
    if want.pair.source == AUTO and want.languages:
        target = want.pair.target
        return [str(Pair(language, target)) for language in want.languages if language != target]
    return [str(want.pair)]
