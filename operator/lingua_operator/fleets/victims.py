"""Who leaves first. Pure.

A node that serves nobody goes before one that does; the last node of a pair goes when no other can; then the one whose
work is least missed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lingua_operator.fleets.values import ScaleDown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lingua_operator.fleets.values import Around, Member, PairName


def ranked(members: Iterable[Member], policy: ScaleDown, template_hash: str, around: Around) -> list[Member]:
    """Sort members by who goes first, leaving aside who is the last of a pair."""
    needs: dict[str, float] = {}

    def need(member: Member) -> float:
        if member.class_id not in needs:
            served = around.pairs.get(member.class_id, frozenset())
            needs[member.class_id] = sum(seconds for pair, seconds in around.demand.items() if pair in served)
        return needs[member.class_id]

    def rank(member: Member) -> tuple[object, ...]:
        newest = (-member.created.timestamp(), member.name)
        first = (member.available, member.template_hash == template_hash)
        if policy is ScaleDown.NEWEST_FIRST:
            return (*first, *newest)
        return (*first, member.load > 0, need(member), member.load / max(1, member.capacity), *newest)

    return sorted(members, key=rank)


class Coverage:
    """Which pairs the members that stay serve."""

    def __init__(self, members: Iterable[Member], around: Around) -> None:
        self._around = around
        self._serving = Counter(member.class_id for member in members if member.available)

    def is_last(self, member: Member) -> bool:
        """Tell whether some pair would be served by nobody without this member."""
        if not member.available or self._serving[member.class_id] > 1:
            return False
        return not self._pairs(member.class_id) <= self._covered_beside(member.class_id)

    def leave(self, member: Member) -> None:
        """Count a member out."""
        if member.available:
            self._serving[member.class_id] -= 1

    def _pairs(self, class_id: str) -> frozenset[PairName]:
        return self._around.pairs.get(class_id, frozenset())

    def _covered_beside(self, class_id: str) -> frozenset[PairName]:
        others = (other for other, count in self._serving.items() if count > 0 and other != class_id)
        return self._around.elsewhere.union(*(self._pairs(other) for other in others))


def choose(
    candidates: Sequence[Member], count: int, coverage: Coverage, may_go: Callable[[Member], bool] = lambda _: True
) -> list[Member]:
    """Take ``count`` of the ranked candidates, the last of a pair after all others; fewer where ``may_go`` says no.

    Once a member is the last of a pair it stays so while others leave, so two passes are enough.
    """
    chosen: list[Member] = []
    for member in _others_first(candidates, coverage):
        if len(chosen) >= count:
            break
        if may_go(member):
            coverage.leave(member)
            chosen.append(member)
    return chosen


def _others_first(candidates: Sequence[Member], coverage: Coverage) -> Iterator[Member]:
    last: list[Member] = []
    for member in candidates:
        if coverage.is_last(member):
            last.append(member)
        else:
            yield member
    yield from last
