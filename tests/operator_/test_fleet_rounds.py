"""A fleet over many rounds, with hypothesis: whatever order things happen in, the bounds hold and it comes to rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from kit.fleet_values import NOW, fleet
from lingua_operator.fleets.plan import plan
from lingua_operator.fleets.values import (
    Around,
    Create,
    Delete,
    Fleet,
    FleetSpec,
    Hurry,
    Member,
    Reschedule,
    Retire,
    ScaleDown,
    TakeBack,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_operator.fleets.values import Action

CLASSES = {
    "t0": frozenset({"en:es"}),
    "t1": frozenset({"en:es", "en:fr"}),
    "t2": frozenset({"en:fr"}),
}
HASHES = tuple(CLASSES)


class World:
    """What there is: members that become ready, get work, finish it and go, when the test says so."""

    def __init__(self, wished: Fleet, members: list[Member]) -> None:
        self.fleet = wished
        self.members = {member.name: member for member in members}
        self.now = NOW

    def around(self, *, store_known: bool = True) -> Around:
        return Around(now=self.now, pairs=CLASSES, demand={"en:es": 2.0, "en:fr": 1.0}, store_known=store_known)

    def plan(self, *, store_known: bool = True) -> tuple[Action, ...]:
        return plan(self.fleet, list(self.members.values()), self.around(store_known=store_known)).actions

    def apply(self, action: Action) -> None:
        """Do what was asked, as the API server would."""
        if isinstance(action, Create):
            assert action.name not in self.members
            template = self.fleet.template_hash
            self.members[action.name] = Member(
                action.name, f"{action.name}-{self.now}", self.now, template, template, capacity=4
            )
            return
        old = self.members.get(action.name)
        if old is None or old.uid != action.uid:
            return
        changed = self._changed(old, action)
        if changed is None:
            del self.members[action.name]
        else:
            self.members[action.name] = changed

    def _changed(self, old: Member, action: Action) -> Member | None:
        match action:
            case Retire(why=why):
                until = self.now + timedelta(seconds=300)
                return replace(old, retiring=why, ready=False, scheduling="Draining", retire_until=until)
            case TakeBack():
                return replace(old, retiring=None, drained=False, scheduling="Active", retire_until=None)
            case Delete():
                assert old.drained or action.overdue or self.fleet.deleted
                return None
            case Hurry():
                return replace(old, drain_deadline_s=0)
            case Reschedule():
                assert self.fleet.spec
                return replace(old, applied_scheduling=self.fleet.spec.scheduling)
        raise AssertionError(action)

    def settle(self) -> None:
        """Let every node do what it is about to do: get ready, or finish its work and be drained."""
        for name, member in self.members.items():
            if member.retiring is not None:
                self.members[name] = replace(member, load=0, drained=True)
            else:
                self.members[name] = replace(member, ready=True)

    @property
    def live(self) -> list[Member]:
        return [member for member in self.members.values() if not member.deleted]

    @property
    def available(self) -> int:
        return sum(member.available for member in self.members.values())


@st.composite
def specs(draw: st.DrawFn) -> FleetSpec:
    replicas = draw(st.integers(0, 7))
    surge, unavailable = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    order = draw(st.sampled_from(ScaleDown))
    return FleetSpec(replicas, surge, unavailable or int(surge == 0), scale_down=order)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    wished = replace(fleet(), spec=draw(specs()), template_hash=draw(st.sampled_from(HASHES)))
    members = []
    for number in range(draw(st.integers(0, 9))):
        template = draw(st.sampled_from(HASHES))
        members.append(
            Member(
                f"m{number}", f"m{number}", NOW - timedelta(seconds=draw(st.integers(0, 99))), template, template,
                ready=draw(st.booleans()), load=draw(st.integers(0, 4)), capacity=4,
            )
        )  # fmt: skip
    return World(wished, members)


def turn(world: World, pick: Callable[[int], int]) -> None:
    """Let one thing happen: a part of a plan, a node's next step, a person's wish, a crash, time."""
    kind = pick(7)
    members = sorted(world.members)
    name = members[pick(len(members))] if members else ""
    if kind <= 2:
        actions = world.plan(store_known=kind != 2)
        for action in actions[: pick(len(actions) + 1)]:
            before, count = world.available, len(world.live)
            world.apply(action)
            check_bounds(world, action, before, count)
    elif kind == 3 and name:
        member = world.members[name]
        idle = replace(member, load=0, drained=member.retiring is not None)
        world.members[name] = idle if member.retiring else replace(member, ready=not member.ready, load=pick(5))
    elif kind == 4:
        world.now += timedelta(seconds=pick(400))
    elif kind == 5:
        assert world.fleet.spec
        world.fleet = replace(world.fleet, spec=replace(world.fleet.spec, replicas=pick(8)))
    elif kind == 6:
        world.fleet = replace(world.fleet, template_hash=HASHES[pick(len(HASHES))])


def check_bounds(world: World, action: Action, available: int, count: int) -> None:
    """Our own act makes no more nodes than replicas and surge, and leaves no fewer to take work than promised."""
    spec = world.fleet.spec
    assert spec
    if isinstance(action, Create):
        assert len(world.live) <= spec.replicas + spec.surge
    else:
        assert len(world.live) <= count
    if world.available < available:
        assert isinstance(action, Retire)
        assert world.available >= spec.replicas - spec.unavailable


@given(world=worlds(), data=st.data())
@settings(max_examples=300)
def test_bounds_hold_whatever_happens_in_whatever_order(world: World, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 25))):
        turn(world, lambda below: data.draw(st.integers(0, max(0, below - 1))))


@given(world=worlds(), data=st.data())
@settings(max_examples=300)
def test_it_comes_to_rest_after_interruptions_with_what_was_wished(world: World, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(0, 12))):
        turn(world, lambda below: data.draw(st.integers(0, max(0, below - 1))))
    for _ in range(60):
        world.settle()
        actions = world.plan()
        if not actions:
            break
        for action in actions:
            world.apply(action)
    assert world.plan() == ()
    assert world.fleet.spec
    assert len(world.members) == world.fleet.spec.replicas
    assert {member.template_hash for member in world.members.values()} <= {world.fleet.template_hash}


@given(world=worlds())
@settings(max_examples=300)
def test_the_same_input_gives_the_same_plan_in_any_order_of_members(world: World) -> None:
    members = list(world.members.values())
    assert plan(world.fleet, members, world.around()) == plan(world.fleet, members[::-1], world.around())


@given(world=worlds())
@settings(max_examples=300)
def test_a_whole_plan_carried_out_asks_at_once_for_nothing_that_undoes_it(world: World) -> None:
    first = world.plan()
    for action in first:
        world.apply(action)
    again = world.plan()
    made = {action.name for action in first if isinstance(action, Create | TakeBack)}
    left = {action.name for action in first if isinstance(action, Retire)}
    assert made.isdisjoint(action.name for action in again if isinstance(action, Retire))
    assert left.isdisjoint(action.name for action in again if isinstance(action, TakeBack))


@given(world=worlds())
@settings(max_examples=500)
def test_the_last_node_of_a_pair_is_drained_only_when_no_other_may_go(world: World) -> None:
    assert world.fleet.spec
    spec = replace(world.fleet.spec, surge=0, unavailable=world.fleet.spec.replicas)
    world.fleet = replace(world.fleet, spec=spec)
    first = next((action for action in world.plan() if isinstance(action, Retire)), None)
    if first is None:
        return
    chosen = world.members[first.name]
    if first.why.value == "update":
        others = [each for each in world.members.values() if each.template_hash != world.fleet.template_hash]
    else:
        others = list(world.members.values())
    if is_last(chosen, world):
        assert all(is_last(other, world) for other in others)


def is_last(member: Member, world: World) -> bool:
    """Tell it another way than the plan does: count each pair's servers."""
    if not member.available:
        return False
    serving = [CLASSES[each.class_id] for each in world.members.values() if each.available]
    return any(sum(pair in pairs for pairs in serving) == 1 for pair in CLASSES[member.class_id])
