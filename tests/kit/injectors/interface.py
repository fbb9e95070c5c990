"""What an injector is, and the table of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from kit.sentinels import SentinelStore
from kit.store_process import StoreProcess

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from kit.rig import Rig

    Act: TypeAlias = Callable[[Rig, random.Random, float], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Injector:
    """One way to break a running system. ``alone``: no other of that name at the same time; "": any number."""

    name: str
    act: Act
    fits: Callable[[Rig], bool]
    alone: str

    async def inject(self, system: Rig, source: random.Random, hold_s: float) -> int:
        """Break it for about ``hold_s`` seconds and mend it; return how often that provably happened."""
        return await self.act(system, source, hold_s)


INJECTORS: dict[str, Injector] = {}


def injector(fits: Callable[[Rig], bool], alone: str = "") -> Callable[[Act], Act]:
    """Put a function into the table, under its own name."""

    def keep(act: Act) -> Act:
        name = act.__name__
        INJECTORS[name] = Injector(name, act, fits, alone)
        return act

    return keep


def fitting(system: Rig) -> list[Injector]:
    """List the injectors that can be used on a rig."""
    return [each for each in INJECTORS.values() if each.fits(system)]


def on_any(_: Rig) -> bool:
    """Fit every rig."""
    return True


def on_a_disk(system: Rig) -> bool:
    """Fit rigs with one store that has a disk."""
    return isinstance(system.store, StoreProcess)


def on_sentinels(system: Rig) -> bool:
    """Fit rigs with a primary, replicas and Sentinels."""
    return isinstance(system.store, SentinelStore)


def through_a_proxy(system: Rig) -> bool:
    """Fit rigs whose schedulers reach the store through a proxy."""
    return system.way is not None


def apart(system: Rig) -> bool:
    """Fit rigs whose schedulers can be cut off."""
    return system.apart
