"""Who is asked to grow: pairs overlap, so each waiting job is given to one fleet."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_operator.fleets.demand import Supply, Wait, pair_seconds, serves, share
from lingua_state.wants import read_want

WANTS = ("en:es", "en:fr", "de:es", "auto:es[de,en]", "en:es<en,es>", "en:es@acme", "auto:es")


def wait(want: str, jobs: int = 1, oldest_s: float = 2.0) -> Wait:
    return Wait(read_want(want), jobs, oldest_s)


def supply(name: str, pairs: str, **changes: int) -> Supply:
    return Supply(("default", name), frozenset(pairs.split()), **({"max_jobs": 4} | changes))


def test_the_fleet_that_clears_the_most_waiting_seconds_is_asked_for_all_of_it() -> None:
    asked = share(
        [supply("es", "en:es"), supply("both", "en:es en:fr"), supply("fr", "en:fr")],
        [wait("en:es", 5), wait("en:fr", 3)],
    )
    assert asked["default", "both"].waiting == 8
    assert asked["default", "both"].wanted_replicas == 2
    assert asked["default", "es"].wanted_replicas == 0
    assert asked["default", "fr"].wanted_replicas == 0


def test_what_a_fleet_at_its_ceiling_cannot_take_is_asked_of_the_next() -> None:
    fleets = [supply("both", "en:es en:fr", ceiling=1, load=3), supply("es", "en:es"), supply("fr", "en:fr", ceiling=1)]
    asked = share(fleets, [wait("en:es", 5, 9.0), wait("en:fr", 3, 1.0)])
    assert asked["default", "es"].waiting == 5
    assert asked["default", "fr"].waiting == 3
    assert asked["default", "both"].waiting == 0


def test_what_runs_counts_as_well_as_what_waits() -> None:
    asked = share([supply("es", "en:es", load=6, capacity=8)], [wait("en:es", 3)])["default", "es"]
    assert asked.wanted_replicas == 3
    assert (asked.free, asked.busy_ratio) == (2, 0.75)
    assert asked.oldest_wait_s == 2.0


def test_a_fleet_without_a_node_is_asked_for_its_first_one() -> None:
    assert share([supply("es", "en:es")], [wait("en:es")])["default", "es"].wanted_replicas == 1


@pytest.mark.parametrize(
    ("want", "pairs", "expected"),
    [
        ("en:es", "en:es", True),
        ("en:es", "en:es@acme", False),
        ("en:es@acme", "en:es@acme", True),
        ("en:es@acme", "en:es", True),
        ("en:es<en,es>", "en:es", False),
        ("en:es<en,es>", "en:es es:en", True),
        ("en:es<en,es>@acme", "en:es es:en@acme", False),
        ("auto:es[de,en]", "en:es de:es", True),
        ("auto:es[de,en]", "en:es", False),
        ("auto:es[en,eo]", "en:es", True),
        ("auto:es", "en:es", False),
        ("auto:es", "auto:es en:es", True),
    ],
)
def test_a_fleet_serves_what_the_scripts_would_give_its_nodes(want: str, pairs: str, expected: bool) -> None:
    assert serves(frozenset(pairs.split()), read_want(want), {"en:es", "de:es"}) is expected


def test_the_seconds_of_a_pair_are_summed_over_all_who_wait_for_it() -> None:
    found = pair_seconds([wait("en:es", 2, 3.0), wait("auto:es[de,en]", 1, 4.0), wait("en:es@acme", 1, 0.0)])
    assert found == {"en:es": 11.0, "de:es": 4.0, "en:es@acme": 1.0}


pairs_of = st.frozensets(st.sampled_from(["en:es", "es:en", "en:fr", "de:es", "auto:es", "en:es@acme"]), max_size=6)
supplies = st.lists(
    st.builds(
        Supply,
        key=st.tuples(st.just("default"), st.text("abcdefgh", min_size=4, max_size=4)),
        pairs=pairs_of,
        max_jobs=st.integers(1, 8),
        load=st.integers(0, 20),
        capacity=st.integers(0, 20),
        ceiling=st.none() | st.integers(0, 5),
    ),
    max_size=5,
    unique_by=lambda each: each.key,
)
waits = st.lists(
    st.builds(wait, st.sampled_from(WANTS), st.integers(1, 30), st.floats(0, 60)),
    max_size=6,
    unique_by=lambda each: str(each.want),
)


@given(supplies, waits)
def test_no_job_is_asked_for_twice_and_none_that_somebody_can_take_is_left(
    fleets: list[Supply], waiting: list[Wait]
) -> None:
    asked = share(fleets, waiting)
    offered = frozenset[str]().union(*(fleet.pairs for fleet in fleets))
    able = [each for each in waiting if any(serves(fleet.pairs, each.want, offered) for fleet in fleets)]
    total = sum(demand.waiting for demand in asked.values())
    assert total <= sum(each.jobs for each in able)
    if all(fleet.ceiling is None for fleet in fleets):
        assert total == sum(each.jobs for each in able)
    for fleet in fleets:
        demand = asked[fleet.key]
        assert demand.wanted_replicas == math.ceil((fleet.load + demand.waiting) / fleet.max_jobs)
        if fleet.ceiling is not None and demand.waiting:
            assert demand.wanted_replicas <= fleet.ceiling


@given(supplies, waits)
def test_the_answer_does_not_depend_on_the_order_of_the_question(fleets: list[Supply], waiting: list[Wait]) -> None:
    assert share(fleets, waiting) == share(fleets[::-1], waiting[::-1])


@given(supplies, waits)
def test_nobody_clears_more_than_the_one_who_was_asked_first(fleets: list[Supply], waiting: list[Wait]) -> None:
    free = [Supply(fleet.key, fleet.pairs, fleet.max_jobs) for fleet in fleets]
    if not free:
        return
    offered = frozenset[str]().union(*(fleet.pairs for fleet in free))
    most = max(sum(each.seconds for each in waiting if serves(fleet.pairs, each.want, offered)) for fleet in free)
    assert max(demand.waiting_seconds for demand in share(free, waiting).values()) == pytest.approx(most)
