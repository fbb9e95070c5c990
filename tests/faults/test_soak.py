"""The soak finds what grows, and passes what is flat."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from kit.soak import Window, findings, report, table

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTES = 12


def windows(figure: str = "", grown: Callable[[float], float] = lambda _: 1.0, wait_s: float = 0.2) -> list[Window]:
    """Make minutes of a run in which one figure goes as ``grown`` says and all others are flat but for noise."""
    source = random.Random(1)
    found = []
    for minute in range(MINUTES):
        figures = {"rss_bytes": 150e6, "descriptors": 100.0, "tasks": 200.0}
        noisy = {name: value * source.uniform(0.99, 1.01) for name, value in figures.items()}
        if figure:
            noisy[figure] = figures[figure] * grown(minute / MINUTES)
        waits_s = [wait_s * source.uniform(0.5, 1.5) for _ in range(300)]
        found.append(Window(60.0 * minute, waits_s, {"scheduler-0/7": noisy}))
    return found


def test_a_flat_run_has_no_findings() -> None:
    assert findings(windows()) == []


def test_each_figure_that_grows_is_found() -> None:
    for figure in ("rss_bytes", "descriptors", "tasks"):
        (found,) = findings(windows(figure, lambda share: 1 + share / 3))
        assert found.startswith(f"scheduler-0/7: {figure} grew by ")


def test_what_shrinks_is_no_finding() -> None:
    assert findings(windows("rss_bytes", lambda share: 1 - share / 2)) == []


def test_the_first_minute_in_which_caches_fill_does_not_count() -> None:
    assert findings(windows("rss_bytes", lambda share: 0.5 if share == 0 else 1.0)) == []


def test_people_who_wait_longer_in_the_end_are_found() -> None:
    run = windows()
    for window in run[-4:]:
        window.waits_s = [wait_s * 1.5 for wait_s in window.waits_s]
    (found,) = findings(run)
    assert "wait" in found


def test_minutes_in_which_something_was_broken_say_nothing_of_how_long_people_wait() -> None:
    run = windows()
    for window in run[-4:]:
        window.waits_s = [wait_s * 9 for wait_s in window.waits_s]
        window.broken = True
    assert findings(run) == []


def test_a_run_of_faults_alone_is_told() -> None:
    run = windows()
    for window in run:
        window.broken = True
    assert findings(run) == ["too few minutes without a fault to compare how long people waited"]


def test_both_reports_have_every_minute_and_every_slope() -> None:
    run = windows("tasks", lambda share: 1 + share)
    written = table(run)
    assert len(written.splitlines()) == 1 + MINUTES + 2 + 3
    assert written.count("not flat") == 1
    told = report(run, seed=3)
    assert (len(told["windows"]), len(told["slopes"]), len(told["findings"]), told["seed"]) == (MINUTES, 3, 1, 3)
