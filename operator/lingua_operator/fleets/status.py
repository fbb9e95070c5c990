"""What a fleet's status says, and which changes of it are events worth reading. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lingua_operator.conditions import ACCEPTED, READY, Verdict, put
from lingua_operator.events import Told
from lingua_operator.fleets.manifest import selector
from lingua_operator.fleets.values import Create, Delete, Retire, TakeBack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lingua_operator.fleets.values import Around, Fleet, FleetSpec, Member, Plan

AVAILABLE, PROGRESSING, SCALING_DOWN = "Available", "Progressing", "ScalingDown"
PAIRS_SHOWN = 10
#: Nodes that are not ready for longer than this are told as a trouble, and no longer as something that goes on.
STUCK_AFTER = timedelta(minutes=5)
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps the fleet from its wish, as the last round met it: one word, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Tally:
    """A fleet's nodes, counted. ``troubles`` are reasons for which nodes are not ready."""

    total: int
    ready: int
    updated: int
    draining: int
    kept: int
    stuck: int
    troubles: tuple[tuple[str, int], ...]


def tally(fleet: Fleet, members: Sequence[Member], reasons: Mapping[str, str], around: Around) -> Tally:
    """Count the nodes. ``reasons`` tells, by uid, why a node is not ready."""
    live = [member for member in members if not member.deleted]
    kept = [member for member in live if member.retiring is None]
    unready = [member for member in kept if not member.ready]
    why = Counter(reasons.get(member.uid) or "Starting" for member in unready)
    return Tally(
        total=len(live),
        ready=sum(member.available for member in live),
        updated=sum(member.template_hash == fleet.template_hash for member in kept),
        draining=len(live) - len(kept) + len(members) - len(live),
        kept=len(kept),
        stuck=sum(around.now - member.created > STUCK_AFTER for member in unready),
        troubles=tuple(why.most_common()),
    )


def status_onto(
    old: Mapping[str, Any], fleet: Fleet, count: Tally, around: Around, trouble: Trouble | None, pairs: Iterable[str]
) -> dict[str, Any]:
    """Write what was found onto a status; equal to the old one when nothing changed."""
    served = sorted(pairs)
    return {
        **old,
        "observedGeneration": fleet.generation,
        "replicas": count.total,
        "readyReplicas": count.ready,
        "updatedReplicas": count.updated,
        "drainingReplicas": count.draining,
        "selector": selector(fleet),
        "templateHash": fleet.template_hash,
        "pairs": len(served),
        "pairsSample": served[:PAIRS_SHOWN],
        "conditions": put(old.get("conditions") or [], _verdicts(fleet, count, trouble), fleet.generation, around.now),
    }


def told_by(plan: Plan, mark: str) -> list[Told]:
    """Tell what a plan that was carried out did, in a line for each kind of act. ``mark`` names the round."""
    lines = (
        ("ScaledUp", "Made", plan.of(Create)),
        ("TakenBack", "Took back from draining", plan.of(TakeBack)),
        ("Draining", "Drains, to delete them when idle,", plan.of(Retire)),
        ("Removed", "Removed", [each for each in plan.of(Delete) if not getattr(each, "overdue", False)]),
    )
    told = [
        Told("Normal", reason, f"{verb} {_named([each.name for each in acts])}.", f"{reason} {mark}")
        for reason, verb, acts in lines
        if acts
    ]
    late = [each.name for each in plan.of(Delete) if getattr(each, "overdue", False)]
    if late:
        message = f"Removed {_named(late)} after drainDeadlineSeconds: what still ran goes to other nodes."
        told.append(Told("Warning", "DrainDeadlinePassed", message, f"DrainDeadlinePassed {mark}"))
    return told


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(sorted(names)[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _verdicts(fleet: Fleet, count: Tally, trouble: Trouble | None) -> tuple[Verdict, ...]:
    if fleet.spec is None:
        return _unusable(Verdict(ACCEPTED, "False", "InvalidSpec", fleet.problem))
    if trouble and trouble.reason == "PodTemplateRefused":
        return _unusable(Verdict(ACCEPTED, "False", trouble.reason, trouble.message))
    return (
        Verdict(ACCEPTED, "True", "Accepted", "The spec can be used."),
        _ready(fleet, fleet.spec, count, trouble),
        _available(fleet.spec, count),
        _progressing(fleet, fleet.spec, count, trouble),
        _scaling_down(count),
    )


def _unusable(accepted: Verdict) -> tuple[Verdict, ...]:
    others = (READY, AVAILABLE, PROGRESSING)
    return accepted, *(Verdict(each, "False", accepted.reason, accepted.message) for each in others)


def _ready(fleet: Fleet, spec: FleetSpec, count: Tally, trouble: Trouble | None) -> Verdict:
    if fleet.deleted is not None:
        return Verdict(READY, "False", "Deleting", f"{count.total + count.draining} nodes finish their work and go.")
    if trouble:
        return Verdict(READY, "False", trouble.reason, trouble.message)
    if count.ready < spec.replicas:
        return Verdict(READY, "False", _main_reason(count), _missing(fleet, spec, count))
    if count.updated < count.kept:
        return Verdict(
            READY, "True", "Updating", f"{count.updated} of {spec.replicas} nodes have the present template."
        )
    if count.draining:
        return Verdict(READY, "True", "ScalingDown", f"{count.draining} nodes finish their work before they go.")
    return Verdict(READY, "True", "Ready", f"{spec.replicas} of {spec.replicas} nodes take work.")


def _main_reason(count: Tally) -> str:
    return count.troubles[0][0] if count.troubles else "ScalingUp"


def _missing(fleet: Fleet, spec: FleetSpec, count: Tally) -> str:
    told = ", ".join(f"{number} {reason}" for reason, number in count.troubles) or "the others are being made"
    return f"{count.ready} of {spec.replicas} nodes take work: {told}. See kubectl get tnode -l {selector(fleet)}"


def _available(spec: FleetSpec, count: Tally) -> Verdict:
    least = max(0, spec.replicas - spec.unavailable)
    message = f"{count.ready} nodes take work; at least {least} must."
    if count.ready >= least:
        return Verdict(AVAILABLE, "True", "Enough", message)
    return Verdict(AVAILABLE, "False", "TooFew", message)


def _progressing(fleet: Fleet, spec: FleetSpec, count: Tally, trouble: Trouble | None) -> Verdict:
    if fleet.deleted is not None:
        return Verdict(PROGRESSING, "True", "Deleting", "Its nodes finish their work and go.")
    if trouble:
        return Verdict(PROGRESSING, "False", trouble.reason, trouble.message)
    if count.stuck:
        since = f"{count.stuck} nodes are not ready after {STUCK_AFTER // timedelta(minutes=1)} minutes"
        return Verdict(PROGRESSING, "False", "Stuck", f"{since}: {_missing(fleet, spec, count)}")
    return _going_on(fleet, spec, count)


def _going_on(fleet: Fleet, spec: FleetSpec, count: Tally) -> Verdict:
    if count.updated < count.kept:
        return Verdict(PROGRESSING, "True", "Updating", f"{count.kept - count.updated} nodes have an older template.")
    if count.ready < spec.replicas:
        return Verdict(PROGRESSING, "True", "ScalingUp", _missing(fleet, spec, count))
    if count.draining:
        return Verdict(PROGRESSING, "True", "ScalingDown", f"{count.draining} nodes finish their work before they go.")
    return Verdict(PROGRESSING, "False", "Complete", "There is what was wished.")


def _scaling_down(count: Tally) -> Verdict:
    if count.draining:
        return Verdict(SCALING_DOWN, "True", "Draining", f"{count.draining} nodes finish their work before they go.")
    return Verdict(SCALING_DOWN, "False", "Settled", "No node is leaving.")
