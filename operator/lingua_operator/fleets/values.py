"""A TranslationFleet and its nodes as plain frozen values, and what a plan may ask for. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: A pair with its scope, as the store lists it: ``en:es``, ``auto:es``, ``en:es@tenant``.
PairName: TypeAlias = str


class ScaleDown(StrEnum):
    """Which nodes go first when there are too many."""

    LEAST_BUSY_FIRST = "LeastBusyFirst"
    NEWEST_FIRST = "NewestFirst"


class DeletionPolicy(StrEnum):
    """What becomes of running jobs when the fleet is deleted."""

    DRAIN = "Drain"
    IMMEDIATE = "Immediate"


class Why(StrEnum):
    """Why a node leaves its fleet; kept in an annotation of the node, for people."""

    SCALE_DOWN = "scale-down"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """What is wished. ``surge`` and ``unavailable`` are numbers of nodes: shares are resolved already."""

    replicas: int
    surge: int
    unavailable: int
    scale_down: ScaleDown = ScaleDown.LEAST_BUSY_FIRST
    deletion_policy: DeletionPolicy = DeletionPolicy.DRAIN
    scheduling: str = "Active"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A TranslationFleet. ``spec`` is None when it could not be understood; ``problem`` then tells why."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    deleted: datetime | None
    orphaning: bool
    """It is being deleted and its nodes are to stay (``--cascade=orphan``)."""
    finalizers: tuple[str, ...]
    spec: FleetSpec | None
    problem: str
    template: Mapping[str, Any]
    template_hash: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Name it within the cluster."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Member:
    """One node of a fleet, with what the store says of it. ``load`` counts jobs that run on it."""

    name: str
    uid: str
    created: datetime
    template_hash: str
    class_id: str
    scheduling: str = "Active"
    applied_scheduling: str = "Active"
    """The template's wish that was last brought to this node; a person may have set another since."""
    ready: bool = False
    drained: bool = False
    deleted: bool = False
    retiring: Why | None = None
    retire_until: datetime | None = None
    """When a node that leaves goes even if it is not idle."""
    load: int = 0
    capacity: int = 1
    drain_deadline_s: int = 300

    @property
    def available(self) -> bool:
        """Tell whether it takes work and is to stay."""
        return self.ready and self.retiring is None and not self.deleted


@dataclass(frozen=True, slots=True)
class Around:
    """What a plan must know beside the fleet and its nodes.

    ``pairs`` tells which pairs a class serves, ``elsewhere`` those that a ready node outside the fleet serves,
    ``demand`` how many seconds jobs wait for each pair, ``taken`` the names of all nodes of the namespace. Without
    ``store_known`` nobody knows who is busy, so nothing is drained.
    """

    now: datetime
    pairs: Mapping[str, frozenset[PairName]] = field(default_factory=dict)
    elsewhere: frozenset[PairName] = frozenset()
    demand: Mapping[PairName, float] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()
    store_known: bool = True


@dataclass(frozen=True, slots=True)
class Create:
    """Make a node from the template."""

    name: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Drain a node, to delete it when it is idle."""

    name: str
    uid: str
    why: Why


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Let a node that was leaving have work again."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a node. ``overdue``: its deadline passed while jobs ran."""

    name: str
    uid: str
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Hurry:
    """Let a node's deletion wait for nothing."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Reschedule:
    """Bring the template's new ``scheduling`` to a node that exists."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """Take in a node that has the fleet's label and belongs to nobody."""

    name: str
    uid: str


Action: TypeAlias = Adopt | Create | Retire | TakeBack | Delete | Hurry | Reschedule


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in this order. ``release``: nothing is left, so let the fleet go."""

    actions: tuple[Action, ...] = ()
    release: bool = False
    wake_at: datetime | None = None
    """When the plan changes by time alone."""

    def of(self, *kinds: type[Action]) -> list[Action]:
        """List the actions of some kinds."""
        return [action for action in self.actions if isinstance(action, kinds)]
