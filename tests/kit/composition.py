"""Several faults at once, chosen by a seed: what is done when is written down before it begins, so a seed repeats it.

A run is rounds. In each, two or three injectors begin within some seconds of each other, last for a while, and are
mended; then everybody must be served again within a bound, and the next round begins.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kit.eventually import eventually
from kit.injectors.table import INJECTORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.crowd import Crowd
    from kit.injectors.interface import Injector
    from kit.rig import Rig

_BEGIN_WITHIN_S: Final = 6.0
_HOLD_S: Final = (1.0, 12.0)
#: Between two rounds everybody must hear something; this is what that takes when all is well, with a new beginning.
_BETWEEN_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class Step:
    """One fault of a round: when it begins, how long it lasts, and where what is random in it comes from."""

    injector: str
    at_s: float
    hold_s: float
    seed: int

    def __str__(self) -> str:
        return f"{self.injector} at {self.at_s:.1f} s for {self.hold_s:.1f} s"


Round = tuple[Step, ...]


def plan(seed: int, injectors: Sequence[Injector], length_s: float) -> list[Round]:
    """Choose rounds that take about ``length_s`` together; the same seed and injectors give the same rounds."""
    source = random.Random(seed)
    rounds: list[Round] = []
    while length_s > 0:
        rounds.append(_round(source, injectors))
        length_s -= max(step.at_s + step.hold_s for step in rounds[-1]) + _BETWEEN_S
    return rounds


def _round(source: random.Random, injectors: Sequence[Injector]) -> Round:
    steps: list[Step] = []
    left = sorted(injectors, key=lambda each: each.name)
    for _ in range(source.choice((2, 2, 3))):
        chosen = source.choice(left)
        at_s = source.uniform(0, _BEGIN_WITHIN_S) if steps else 0.0
        steps.append(Step(chosen.name, round(at_s, 1), round(source.uniform(*_HOLD_S), 1), source.getrandbits(32)))
        left = [each for each in left if each.name != chosen.name and not (chosen.alone and each.alone == chosen.alone)]
    return tuple(steps)


@dataclass
class Played:
    """What was done: hits of each injector, and after each round how long it took until everybody was served again."""

    hits: Counter[str] = field(default_factory=Counter)
    times: Counter[str] = field(default_factory=Counter)
    recovered_s: list[float] = field(default_factory=list)

    def quiet(self) -> list[str]:
        """Name the injectors that never hit anything."""
        return sorted(name for name, times in self.times.items() if times and not self.hits[name])


async def play(system: Rig, talking: Crowd, rounds: Sequence[Round], within_s: float) -> Played:
    """Play all rounds; after each, everybody must have heard an answer ``within_s``."""
    played = Played()
    for number, steps in enumerate(rounds):
        sys.stdout.write(f"round {number}: {'; '.join(map(str, steps))}\n")
        for step, hits in zip(steps, await asyncio.gather(*(_step(system, step) for step in steps)), strict=True):
            played.hits[step.injector] += hits
            played.times[step.injector] += 1
        played.recovered_s.append(await served(talking, within_s))
        gone = [word for word in talking.lost() if word != "nothing"]
        sys.stdout.write(f"  served again after {played.recovered_s[-1]:.1f} s, refused so far: {gone}\n")
    return played


async def _step(system: Rig, step: Step) -> int:
    await asyncio.sleep(step.at_s)
    return await INJECTORS[step.injector].inject(system, random.Random(step.seed), step.hold_s)


async def served(talking: Crowd, within_s: float) -> float:
    """Wait until everybody has heard an answer from now on; return how long that took."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    before = [talker.answered for talker in talking.talkers]
    await eventually(
        lambda: all(talker.answered > heard for talker, heard in zip(talking.talkers, before, strict=True)),
        within_s=within_s, what="everybody is served again",
    )  # fmt: skip
    return loop.time() - began_s
