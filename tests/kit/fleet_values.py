"""Short ways to say what a test of fleets is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lingua_operator.fleets.plan import plan as make_plan
from lingua_operator.fleets.values import Around, Fleet, FleetSpec, Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lingua_operator.fleets.values import Action, Plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = "old", "new"
EN_ES, EN_FR = frozenset({"en:es"}), frozenset({"en:fr"})


def fleet(**changes: Any) -> Fleet:
    """A fleet whose present template is ``NEW``."""
    words: dict[str, Any] = {"replicas": 1, "surge": 0, "unavailable": 0}
    return Fleet(
        namespace="default", name="es", uid="fleet-uid", generation=1, resource_version="1", deleted=None,
        orphaning=False, finalizers=(), spec=FleetSpec(**(words | changes)), problem="", template={},
        template_hash=NEW,
    )  # fmt: skip


def member(name: str, template_hash: str = NEW, *, age_s: float = 100, **changes: Any) -> Member:
    """A ready, idle node of the present template that serves en:es; its uid is its name."""
    words: dict[str, Any] = {
        "uid": name, "created": NOW - timedelta(seconds=age_s), "class_id": "es", "ready": True, "capacity": 4,
    }  # fmt: skip
    return Member(name=name, template_hash=template_hash, **(words | changes))


def around(**changes: Any) -> Around:
    """Nothing special around: class ``es`` serves en:es, class ``fr`` en:fr."""
    words: dict[str, Any] = {"now": NOW, "pairs": {"es": EN_ES, "fr": EN_FR}}
    return Around(**(words | changes))


def plan_of(of: Fleet, members: Sequence[Member], where: Around | None = None, **changes: Any) -> Plan:
    """Make the plan."""
    return make_plan(of, members, where or around(**changes))


def names(actions: Iterable[Action]) -> list[str]:
    """Name whom the actions are about."""
    return [action.name for action in actions]
