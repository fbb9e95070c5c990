"""The resource threshold, without going in and out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_scheduler.nodes.load import LoadGate, LoadRules, resources_of
from lingua_wire.node_messages import ResourceUsage

RULES = LoadRules(cpu_percent=90, margin=10, beats=2)


def usage(**fields: Any) -> ResourceUsage:
    return ResourceUsage.model_validate({"cpu_percent": 10, "mem_percent": 10, **fields})


def judged(rules: LoadRules, *figures: float) -> list[bool]:
    gate = LoadGate(rules)
    return [gate.judge({"cpu_percent": figure}) for figure in figures]


def test_one_high_beat_is_no_overload_and_two_are() -> None:
    assert judged(RULES, 95, 20, 95, 95) == [False, False, False, True]


def test_a_node_comes_back_only_well_below_the_threshold() -> None:
    assert judged(RULES, 95, 95, 85, 80, 79, 85) == [False, True, True, True, False, False]


def test_a_threshold_of_zero_is_none() -> None:
    assert judged(LoadRules(cpu_percent=0), 100, 100, 100) == [False] * 3


@pytest.mark.parametrize("name", ["cpu_percent", "gpu_percent", "gpu_mem_percent", "mem_percent"])
def test_each_figure_has_its_threshold(name: str) -> None:
    gate = LoadGate(LoadRules(beats=1))
    assert gate.judge(resources_of(usage(**{name: 100})))
    assert not LoadGate(LoadRules(beats=1, **{name: 0})).judge(resources_of(usage(**{name: 100})))


def test_absent_figures_are_left_out() -> None:
    assert resources_of(usage()) == {"cpu_percent": 10.0, "mem_percent": 10.0}


@given(st.floats(-1e12, 1e12), st.integers(0, 2**53 - 1))
def test_odd_figures_are_kept_within_their_range(percent: float, jobs: int) -> None:
    read = resources_of(usage(cpu_percent=percent, running_jobs=jobs, gpu_queue_length=percent))
    assert 0 <= read["cpu_percent"] <= 100
    assert all(0 <= value <= 1_000_000 for value in read.values())
