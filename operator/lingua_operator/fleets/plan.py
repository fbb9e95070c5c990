"""The plan of a fleet: from what is wished and what there is to what is done next. Pure; same input, same plan.

The plan is level-based: it keeps no memory, so one that was carried out in part is simply made again. Names are
derived and not drawn, so a plan made twice from a stale view asks for the same nodes and none is made double.

Counting is as for Deployments, with one difference: nodes that drain still hold their machine, so they count against
``replicas + maxSurge``. A node whose deletion was asked for does not count.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lingua_operator.fleets.values import (
    Create,
    Delete,
    DeletionPolicy,
    Hurry,
    Plan,
    Reschedule,
    Retire,
    ScaleDown,
    TakeBack,
    Why,
)
from lingua_operator.fleets.victims import Coverage, choose, ranked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lingua_operator.fleets.values import Action, Around, Fleet, FleetSpec, Member

_NAME_LENGTH = 63
_SUFFIX_LENGTH = 5
#: No vowels and nothing that looks like something else, so that no name spells a word.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def plan(fleet: Fleet, members: Sequence[Member], around: Around) -> Plan:
    """Say what to do next for a fleet. A fleet whose spec can't be used keeps what it has."""
    if fleet.deleted is not None:
        return _wind_up(fleet, members)
    if fleet.spec is None:
        return Plan()
    return _steer(fleet, fleet.spec, members, around)


def _steer(fleet: Fleet, spec: FleetSpec, members: Sequence[Member], around: Around) -> Plan:
    live = sorted((member for member in members if not member.deleted), key=lambda member: member.name)
    kept = [member for member in live if member.retiring is None]
    leaving = [member for member in live if member.retiring is not None]
    back = _taken_back(fleet, spec, kept, leaving)
    staying = {member.uid for member in back}
    leaving = [member for member in leaving if member.uid not in staying]

    gone = [_deleted(member, around) for member in leaving if _may_be_deleted(member, around)]
    actions: list[Action] = [TakeBack(member.name, member.uid) for member in back]
    actions += gone
    taken = around.taken.union(member.name for member in members)
    actions += [Create(name) for name in _new_names(fleet, taken, _missing(fleet, spec, kept + back, len(live)))]
    actions += [Reschedule(member.name, member.uid) for member in kept if member.applied_scheduling != spec.scheduling]
    if around.store_known:
        actions += _retired(fleet, spec, kept + back, around)
    waits = [member.retire_until for member in leaving if member.retire_until and not _may_be_deleted(member, around)]
    return Plan(tuple(actions), wake_at=min(waits, default=None))


def _taken_back(fleet: Fleet, spec: FleetSpec, kept: list[Member], leaving: list[Member]) -> list[Member]:
    """Choose who stays after all: nodes of the present template in place of new ones, others only as many as must be
    there anyway, or an update would go round in circles."""
    updated = [member for member in leaving if member.template_hash == fleet.template_hash]
    others = [member for member in leaving if member.template_hash != fleet.template_hash]
    updated.sort(key=lambda member: (member.drained, -member.load, member.name))
    others.sort(key=lambda member: (member.drained, -member.load, member.name))
    present = sum(member.template_hash == fleet.template_hash for member in kept)
    wanted = min(spec.replicas - present, spec.replicas + spec.surge - len(kept))
    back = updated[: max(0, wanted)]
    return back + others[: max(0, spec.replicas - spec.unavailable - len(kept) - len(back))]


def _missing(fleet: Fleet, spec: FleetSpec, kept: list[Member], total: int) -> int:
    """Count the nodes to make."""
    updated = sum(member.template_hash == fleet.template_hash for member in kept)
    return max(0, min(spec.replicas - updated, spec.replicas + spec.surge - total))


def _retired(fleet: Fleet, spec: FleetSpec, kept: list[Member], around: Around) -> Iterator[Action]:
    """Choose who leaves: old nodes for new ones, then those still too many. The other way round, nodes of the present
    template could leave as too many and be taken back for the old ones that left with them."""
    coverage = Coverage(kept, around)
    old = [member for member in kept if member.template_hash != fleet.template_hash]
    replaced = _replaced(fleet, spec, kept, old, coverage, around)
    yield from (Retire(member.name, member.uid, Why.UPDATE) for member in replaced)
    leaving = {member.uid for member in replaced}
    rest = [member for member in kept if member.uid not in leaving]
    surplus = len(rest) - spec.replicas - (spec.surge if len(old) > len(replaced) else 0)
    extra = choose(ranked(rest, spec.scale_down, fleet.template_hash, around), surplus, coverage)
    yield from (Retire(member.name, member.uid, Why.SCALE_DOWN) for member in extra)


def _replaced(
    fleet: Fleet, spec: FleetSpec, kept: list[Member], old: list[Member], coverage: Coverage, around: Around
) -> list[Member]:
    """Choose the old nodes that can go now. New nodes that are not ready yet count as missing, and so do old ones that
    are away for a moment: else a short fault of the store would let all old ones go at once."""
    least = max(0, spec.replicas - spec.unavailable)
    unready_new = sum(member.template_hash == fleet.template_hash and not member.available for member in kept)
    available = sum(member.available for member in kept)

    def may_go(member: Member) -> bool:
        nonlocal available
        if member.available and available <= least:
            return False
        available -= member.available
        return True

    order = ranked(old, ScaleDown.LEAST_BUSY_FIRST, fleet.template_hash, around)
    return choose(order, len(kept) - least - unready_new, coverage, may_go)


def _may_be_deleted(member: Member, around: Around) -> bool:
    return member.drained or _overdue(member, around)


def _deleted(member: Member, around: Around) -> Delete:
    return Delete(member.name, member.uid, overdue=not member.drained and _overdue(member, around))


def _overdue(member: Member, around: Around) -> bool:
    return member.retire_until is not None and member.retire_until <= around.now


def _wind_up(fleet: Fleet, members: Sequence[Member]) -> Plan:
    """Let all nodes go: each drains by its own finalizer, which an immediate deletion tells not to wait."""
    if fleet.orphaning or not members:
        return Plan(release=True)
    immediate = fleet.spec is not None and fleet.spec.deletion_policy is DeletionPolicy.IMMEDIATE
    hurried: list[Action] = [
        Hurry(member.name, member.uid) for member in members if immediate and member.drain_deadline_s > 0
    ]
    deleted: list[Action] = [Delete(member.name, member.uid) for member in members if not member.deleted]
    return Plan((*hurried, *deleted))


def _new_names(fleet: Fleet, taken: frozenset[str], count: int) -> Iterator[str]:
    """Give the first free names of the fleet's own row of names."""
    given: set[str] = set()
    number = 0
    while count > 0:
        name = node_name(fleet.name, fleet.uid, fleet.template_hash, number)
        number += 1
        if name not in taken and name not in given:
            given.add(name)
            count -= 1
            yield name


def node_name(fleet: str, uid: str, template_hash: str, number: int) -> str:
    """Name the node at a place of the fleet's row: the fleet's name (cut if it is long) and five characters."""
    digest = int.from_bytes(hashlib.sha256(f"{uid} {template_hash} {number}".encode()).digest()[:8], "big")
    letters = ""
    for _ in range(_SUFFIX_LENGTH):
        digest, letter = divmod(digest, len(_ALPHABET))
        letters += _ALPHABET[letter]
    return f"{fleet[: _NAME_LENGTH - 1 - _SUFFIX_LENGTH].rstrip('-.')}-{letters}"
