"""The checker of the fault suite finds what is broken: for each invariant there are small runs that break it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from kit.invariants_history import HISTORY
from kit.invariants_state import ROOT, SESSIONS, STATE
from kit.proof import TEXT_MARK
from kit.small_run import CLASS, INCARNATION, NODE, call, job, key, session, small_run, snapshot
from kit.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.history import Event, Recorded

    Break = Callable[[Recorded], None]

CASES: list[tuple[str, Break]] = []


def breaks(letter: str) -> Callable[[Break], Break]:
    def noted(change: Break) -> Break:
        CASES.append((letter, change))
        return change

    return noted


def test_a_run_in_which_all_is_well_breaks_nothing() -> None:
    verdict = judge(small_run())
    assert verdict.broken == []
    assert verdict.looked_at["said"] == verdict.looked_at["heard"] == 2


@pytest.mark.parametrize(("letter", "change"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_what_breaks_an_invariant_is_found(letter: str, change: Break) -> None:
    run = small_run()
    change(run)
    found = {line.partition(":")[0].partition(" ")[0] for line in judge(run).broken}
    assert letter in found, found


def test_every_invariant_has_something_that_breaks_it() -> None:
    assert {letter for letter, _ in CASES} == set(HISTORY) | set(STATE)


# The store


@breaks("I1")
def job_in_two_indexes(run: Recorded) -> None:
    put(run, "jobs:failed", {"job-0": 1.0})


@breaks("I1")
def job_in_no_index(run: Recorded) -> None:
    put(run, "jobs:completed", {"job-1": 1.0})


@breaks("I2")
def running_job_that_no_node_holds(run: Recorded) -> None:
    run.snapshots[-1] = snapshot(99.0, {"job-0": job(0, "accepted")}, **{"jobs:deadline": {"job-0": 1.0}})


@breaks("I2")
def unfinished_job_without_a_deadline(run: Recorded) -> None:
    held = {f"node:{NODE}:jobs": ["job-0"], f"node:{NODE}": {"load": "1", "capacity": "4", "pool_id": CLASS}}
    run.snapshots[-1] = snapshot(99.0, {"job-0": job(0, "accepted")}, **held)


@breaks("I2")
def waiting_job_in_two_queues(run: Recorded) -> None:
    queues = {"waiting:en:es": {"job-0": 1.0}, f"node:{NODE}:waiting": {"job-0": 1.0}, "jobs:deadline": {"job-0": 1.0}}
    record = job(0, "pending", attempt=0, node="") | {"queue": "*"}
    run.snapshots[-1] = snapshot(99.0, {"job-0": record}, **queues)


@breaks("I3")
def node_above_its_capacity(run: Recorded) -> None:
    jobs = {f"job-{number}": job(number, "accepted") for number in range(5)}
    held = {f"node:{NODE}:jobs": list(jobs), "jobs:deadline": dict.fromkeys(jobs, 1.0)}
    run.snapshots[-1] = snapshot(99.0, jobs, **held)


@breaks("I4")
def job_with_four_attempts(run: Recorded) -> None:
    run.snapshots[-1] = snapshot(99.0, {"job-0": job(0, "completed", attempt=4)})


@breaks("I4")
def attempt_that_reaches_nodes_twice(run: Recorded) -> None:
    run.events.append(next(run.of("job")) | {"process": "node-1"})


@breaks("I5")
def end_that_is_taken_back(run: Recorded) -> None:
    run.snapshots.append(snapshot(100.0, {"job-0": job(0, "cancelled"), "job-1": job(1, "completed")}))


@breaks("I5")
def job_that_is_gone(run: Recorded) -> None:
    run.snapshots.append(snapshot(100.0, {"job-0": job(0, "completed")}))


@breaks("I5")
def generation_that_comes_twice(run: Recorded) -> None:
    run.events.append(call(count(90), "session_resume", session_id="session-0", now=1))


@breaks("I6")
def load_that_is_no_count(run: Recorded) -> None:
    put(run, f"node:{NODE}", {"load": "1", "capacity": "4", "pool_id": CLASS})


@breaks("I6")
def class_that_counts_wrongly(run: Recorded) -> None:
    put(run, f"pool:{CLASS}:def", {"nodes": "2"})


@breaks("I6")
def queue_that_is_not_noted(run: Recorded) -> None:
    put(run, "waiting:en:es", {"job-9": 1.0})


@breaks("I7")
def job_that_stays_for_ever(run: Recorded) -> None:
    row(run, f"{ROOT}job:job-0")["ttl_ms"] = -1


@breaks("I7")
def node_key_without_a_node(run: Recorded) -> None:
    put(run, "node:gone", {"load": "0"})


@breaks("I7")
def session_that_is_left(run: Recorded) -> None:
    run.snapshots[-1]["keys"].append(session(0))


@breaks("I8")
def value_as_large_as_audio(run: Recorded) -> None:
    put(run, "epoch", "x" * 20_000)


@breaks("I8")
def value_with_text(run: Recorded) -> None:
    put(run, "epoch", f"hidden {TEXT_MARK}")


@breaks("I8")
def value_with_samples(run: Recorded) -> None:
    put(run, "epoch", "\x00\x7f\xff")


@breaks("I8")
def job_that_takes_much_memory(run: Recorded) -> None:
    row(run, f"{ROOT}job:job-0")["bytes"] = 5_000


@breaks("I9")
def job_of_another_tenant_than_its_session(run: Recorded) -> None:
    other = session(0)
    other["value"]["tenant"] = "tenant-1"
    run.snapshots[-1]["keys"].append(other)


@breaks("I9")
def request_of_another_tenant(run: Recorded) -> None:
    run.snapshots[-1]["keys"].append(key(f"{ROOT}request:tenant-1:mine", "job-0", ttl_ms=1))


@breaks("I10")
def events_with_a_hole(run: Recorded) -> None:
    kept = [[f"{number}-0", ["e", "x"]] for number in (1, 3)]
    run.snapshots[0]["keys"] += [session(0), key(f"{SESSIONS}session-0:events", kept, ttl_ms=1)]


@breaks("I11")
def epoch_that_comes_back(run: Recorded) -> None:
    run.events += [call(count(90), "epoch", epoch="epoch-1"), call(count(92), "epoch", epoch="epoch-0")]


# What happened


@breaks("H1")
def utterance_without_an_outcome(run: Recorded) -> None:
    run.events.remove(next(run.of("heard")))


@breaks("H1")
def refusal_that_no_row_allows(run: Recorded) -> None:
    change(run, "heard", event="refused", word="JOB_TIMEOUT")


@breaks("H1")
def refusal_beside_a_result(run: Recorded) -> None:
    run.events.append(next(run.of("heard")) | {"event": "refused", "word": "missing"})
    change(run, "settled", lost_allowed=1)


@breaks("H2")
def result_that_is_heard_twice(run: Recorded) -> None:
    run.events.append(next(run.of("heard")))


@breaks("H3")
def result_of_somebody_else(run: Recorded) -> None:
    change(run, "heard", talker="talker-1")


@breaks("H3")
def result_proven_for_another_session(run: Recorded) -> None:
    change(run, "heard", session="session-1")


@breaks("H3")
def result_that_no_node_had(run: Recorded) -> None:
    change(run, "heard", index=7)


@breaks("H3")
def result_of_what_was_never_said(run: Recorded) -> None:
    run.events.append({"at_s": 50.0, "process": "rig", "event": "strayed", "talker": "talker-0", "word": "a result"})


@breaks("H4")
def result_of_another_tenant(run: Recorded) -> None:
    change(run, "heard", tenant="tenant-1")


@breaks("H4")
def job_dispatched_as_another_tenants(run: Recorded) -> None:
    change(run, "call", of="dispatch", want="en:es@tenant-1")


@breaks("H5")
def end_by_a_node_that_was_not_given_it(run: Recorded) -> None:
    change(run, "call", of="update_job_status", status="completed", incarnation="incarnation-9")


@breaks("H5")
def end_by_a_node_that_never_had_it(run: Recorded) -> None:
    run.events.remove(next(run.of("job")))


@breaks("H6")
def assignment_after_a_drain(run: Recorded) -> None:
    drain = call(count(4), "node_drain", node_id=NODE, drained="1")
    run.events.insert(3, drain)


@breaks("H7")
def assignment_to_who_does_not_speak_it(run: Recorded) -> None:
    change(run, "registered", speaks=["fr"])


@breaks("H7")
def assignment_to_who_never_came_in(run: Recorded) -> None:
    change(run, "call", of="register_node_v2", incarnation="incarnation-9")


@breaks("H7")
def assignment_to_an_excluded_node(run: Recorded) -> None:
    change(run, "call", of="dispatch", exclude=f"x,{NODE}")


@breaks("H8")
def work_that_is_done_twice_without_a_fault(run: Recorded) -> None:
    run.events.append(next(run.of("job")) | {"attempt": 2})


@breaks("H9")
def taken_job_that_has_no_record(run: Recorded) -> None:
    run.snapshots[-1] = snapshot(99.0, {"job-0": job(0, "completed")})


@breaks("H9")
def scheduler_that_counts_work_when_all_is_quiet(run: Recorded) -> None:
    change(run, "counted", in_flight=1)


@breaks("H10")
def job_that_ends_twice(run: Recorded) -> None:
    ends = [one for one in run.calls("update_job_status") if one["status"] == "completed"]
    run.events.append(ends[0] | {"status": "failed", "began_s": 80.0, "at_s": 80.5})


@breaks("H10")
def attempt_that_is_skipped(run: Recorded) -> None:
    given = call(count(80), "sweep", assigned=[["job-0", 3, NODE, INCARNATION, "session-0"]])
    run.events.append(given)


@breaks("H10")
def record_that_is_not_what_was_told(run: Recorded) -> None:
    run.snapshots[-1] = snapshot(99.0, {"job-0": job(0, "failed"), "job-1": job(1, "completed")})


@breaks("H11")
def rest_that_comes_late(run: Recorded) -> None:
    change(run, "settled", quiet_s=91.0)


@breaks("H11")
def rest_that_never_comes(run: Recorded) -> None:
    run.events.remove(next(run.of("settled")))


@breaks("H12")
def descriptors_that_are_not_given_back(run: Recorded) -> None:
    run.events[-2]["descriptors"] = 500


@breaks("H12")
def memory_that_grows(run: Recorded) -> None:
    run.events[-2]["rss_bytes"] = 900 << 20


@breaks("H13")
def traceback_in_a_log(run: Recorded) -> None:
    run.logs["node-0.log"] = ["Traceback (most recent call last):"]


@breaks("H13")
def task_that_nobody_asked(run: Recorded) -> None:
    run.logs["node-0.log"] = ["Task exception was never retrieved"]


@breaks("H13")
def error_in_a_log(run: Recorded) -> None:
    run.logs["scheduler-0.log"] = ['{"level":"error","event":"a step of a job failed"}']


@breaks("H13")
def text_in_a_log(run: Recorded) -> None:
    run.logs["scheduler-0.log"] = [f'{{"level":"info","event":"{TEXT_MARK} abc"}}']


@breaks("S2")
def result_that_overtakes(run: Recorded) -> None:
    for event in run.of("said", "heard"):
        event["talker"] = "talker-0"
    first = next(run.of("heard"))
    run.events.remove(first)
    run.events.append(first)


# What may be, since nobody can know better


def test_what_a_lost_answer_did_is_no_disorder() -> None:
    run = small_run()
    taken = next(one for one in run.calls("dispatch") if one["job_id"] == "job-0")
    run.events.remove(taken)
    assert disordered(run)
    run.events.append({name: value for name, value in taken.items() if name != "placed"} | {"event": "call_failed"})
    assert not disordered(run)


def test_a_store_that_went_back_may_do_work_again() -> None:
    run = small_run()
    ends = [one for one in run.calls("update_job_status") if one["job_id"] == "job-0"]
    run.events += [one | {"began_s": 80.0, "at_s": 80.0 + number} for number, one in enumerate(ends)]
    assert disordered(run)
    run.events.append({"at_s": 70.0, "process": "store", "event": "brought_back"})
    assert not disordered(run)


def test_a_durable_store_never_goes_back_behind_an_end() -> None:
    run = small_run()
    ends = [one for one in run.calls("update_job_status") if one["job_id"] == "job-0"]
    run.events += [one | {"began_s": 80.0, "at_s": 80.0 + number} for number, one in enumerate(ends)]
    run.events.append({"at_s": 70.0, "process": "store", "event": "failed_over"})
    change(run, "began", profile="durable")
    assert disordered(run)


def disordered(run: Recorded) -> bool:
    return any(line.startswith("H10") for line in judge(run).broken)


def change(run: Recorded, kind: str, of: str = "", **changes: Any) -> None:
    """Change the first event of a kind, or the first call of a script with the same status if one is given."""
    found = (event for event in run.of(kind) if not of or event["script"] == of)
    status = changes.get("status")
    next(event for event in found if status is None or event.get("status") == status).update(changes)


def row(run: Recorded, name: str) -> Event:
    return next(row for row in run.snapshots[-1]["keys"] if row["name"] == name)


def put(run: Recorded, name: str, value: Any) -> None:
    """Set a key below the root in the last snapshot."""
    keys = run.snapshots[-1]["keys"]
    keys[:] = [row for row in keys if row["name"] != ROOT + name]
    keys.append(key(ROOT + name, value))
