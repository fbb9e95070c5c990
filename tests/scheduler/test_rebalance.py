"""Which sessions move, and when an instance counts as gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_scheduler.orphans import Living
from lingua_scheduler.rebalance import to_shed
from lingua_scheduler.settings import ShedSettings

RULES = ShedSettings(per_minute=60, above_mean=1.5, at_least=20)


@pytest.mark.parametrize(
    ("own", "others", "moved"),
    [
        (300, [0], 5),
        (300, [0, 0], 5),
        (300, [], 0),
        (300, [290], 0),
        (300, [110], 0),
        (300, [99], 5),
        (20, [0, 0, 0], 0),
        (24, [20, 0], 5),
        (0, [300], 0),
    ],
)
def test_only_an_instance_far_above_the_mean_sheds_and_only_so_many(own: int, others: list[int], moved: int) -> None:
    assert to_shed(own, others, RULES, budget=5) == moved


@given(st.integers(0, 5_000), st.lists(st.integers(0, 5_000), max_size=10), st.integers(0, 100))
def test_shedding_never_goes_below_the_mean_nor_beyond_its_budget(own: int, others: list[int], budget: int) -> None:
    moved = to_shed(own, others, RULES, budget)
    assert 0 <= moved <= budget
    if moved:
        assert own - moved >= (own + sum(others)) // (1 + len(others))


def test_an_instance_is_gone_when_it_was_missing_at_each_look_for_a_while() -> None:
    living = Living(missing_ms=5_000, settle_ms=10_000)
    assert living.gone({"a"}, {"b"}, 0) == set()
    assert living.gone({"a"}, {"b"}, 4_999) == set()
    assert living.gone({"a"}, {"b"}, 5_000) == {"b"}


def test_an_instance_that_was_seen_again_is_not_gone() -> None:
    living = Living(missing_ms=5_000, settle_ms=10_000)
    living.gone(set(), {"b"}, 0)
    living.gone({"b"}, {"b"}, 3_000)
    assert living.gone(set(), {"b"}, 6_000) == set()


def test_a_store_that_was_away_or_emptied_makes_nobody_gone_before_all_could_announce_themselves() -> None:
    living = Living(missing_ms=5_000, settle_ms=10_000)
    living.gone(set(), {"b"}, 0)
    living.unsettled(6_000)
    assert living.gone(set(), {"b"}, 12_000) == set()
    assert living.gone(set(), {"b"}, 17_000) == {"b"}
