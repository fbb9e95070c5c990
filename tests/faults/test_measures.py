"""Figures are read from a record as they should be."""

from __future__ import annotations

from itertools import count

from kit.history import Recorded
from kit.measures import taken_again_s
from kit.small_run import INCARNATION, NODE, call, small_run


def killed_with_a_job(*after: dict[str, object]) -> Recorded:
    """Let the node be killed with the first job in its hands; then comes what came."""
    run = small_run()
    events = [event for event in run.events if event["event"] != "result"]
    job = next(run.of("job"))
    begun = [event for event in events if event["at_s"] <= job["at_s"]]
    return Recorded([*begun, {"at_s": 50.0, "process": NODE, "event": "killed"}, *after])


def test_a_job_of_a_killed_node_was_without_one_until_it_was_given_again() -> None:
    again = call(count(51), "failover_job", "assigned", job_id="job-0", placed=["job-0", 2, "node-1", INCARNATION])
    assert taken_again_s(killed_with_a_job(again)) == [1.0]


def test_a_job_that_came_from_a_queue_counts_too() -> None:
    again = call(count(53), "update_job_status", assigned=[["job-0", 2, "node-1", INCARNATION, "session-0"]])
    assert taken_again_s(killed_with_a_job(again)) == [3.0]


def test_a_job_that_was_answered_before_counts_not() -> None:
    run = small_run()
    run.events.append({"at_s": 50.0, "process": NODE, "event": "killed"})
    assert taken_again_s(run) == []
