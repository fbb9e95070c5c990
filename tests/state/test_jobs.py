from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kit.state import ES_EN, assign, begin, can, finish, join, load_of, want
from lingua_state import dispatch, jobs, nodes
from lingua_state.errors import JobMissing, StaleAttempt
from lingua_state.models import Affinity, Assigned, EndedJob, JobRecord, JobStatus, Waiting
from lingua_state.pages import BadCursor

if TYPE_CHECKING:
    from lingua_state.client import Store


async def read(store: Store, job_id: str) -> JobRecord:
    record = await jobs.get(store, job_id)
    assert record is not None
    return record


async def test_a_job_goes_through_its_life(store: Store) -> None:
    await join(store, "n1", acks=True)
    job = await assign(store, timeout_ms=30_000)
    who = (job.job_id, job.attempt_id, job.node_id)
    assert (await jobs.mark_dispatched(store, *who, offer_ms=2_000)).outcome == "ok"
    record = await read(store, job.job_id)
    assert (record.status, record.due_ms) == (JobStatus.DISPATCHED, record.dispatched_ms + 2_000)
    assert (await jobs.accept(store, *who, job.incarnation)).outcome == "ok"
    record = await read(store, job.job_id)
    assert (record.status, record.due_ms) == (JobStatus.ACCEPTED, record.accepted_ms + 30_000)
    assert (await jobs.start(store, *who, job.incarnation)).outcome == "ok"
    record = await read(store, job.job_id)
    assert (record.status, record.due_ms) == (JobStatus.PROCESSING, record.accepted_ms + 30_000)
    done = await jobs.complete(
        store, *who, job.incarnation, status=JobStatus.COMPLETED, timings={"asr": 12.34, "nmt": 5.0}
    )
    assert done.outcome == "ok"
    record = await read(store, job.job_id)
    assert (record.status, record.due_ms, record.timings) == (JobStatus.COMPLETED, 0, {"asr": 12.3, "nmt": 5.0})
    assert record.ended_ms >= record.started_ms >= record.accepted_ms >= record.dispatched_ms >= record.created_ms > 0
    assert await load_of(store, "n1") == 0
    assert await jobs.counts(store) == {status: int(status is JobStatus.COMPLETED) for status in JobStatus}


async def test_a_node_that_does_not_confirm_has_its_whole_time_from_the_socket_on(store: Store) -> None:
    await join(store, "n1")
    job = await assign(store, timeout_ms=30_000)
    await jobs.mark_dispatched(store, job.job_id, 1, "n1", offer_ms=None)
    record = await read(store, job.job_id)
    assert record.due_ms == record.dispatched_ms + 30_000


async def test_saying_the_same_twice_changes_nothing(store: Store) -> None:
    await join(store, "n1", capacity=3)
    job = await assign(store)
    who = (job.job_id, 1, "n1")
    assert (await jobs.mark_dispatched(store, *who, offer_ms=2_000)).outcome == "ok"
    assert (await jobs.mark_dispatched(store, *who, offer_ms=2_000)).outcome == "repeated"
    for say in (jobs.accept, jobs.start):
        assert (await say(store, *who, "n1.1")).outcome == "ok"
        before = await read(store, job.job_id)
        assert (await say(store, *who, "n1.1")).outcome == "repeated"
        assert await read(store, job.job_id) == before
    assert (await jobs.accept(store, *who, "n1.1")).outcome == "repeated"
    assert (await jobs.mark_dispatched(store, *who, offer_ms=2_000)).outcome == "repeated"
    outcomes = [one.outcome for one in await asyncio.gather(*(finish(store, job) for _ in range(5)))]
    assert sorted(outcomes) == ["ok", *["repeated"] * 4]
    assert await load_of(store, "n1") == 0


async def test_a_word_that_overtakes_another_is_taken(store: Store) -> None:
    await join(store, "n1")
    job = await assign(store)
    assert (await jobs.start(store, job.job_id, 1, "n1", "n1.1")).outcome == "ok"
    assert (await jobs.accept(store, job.job_id, 1, "n1", "n1.1")).outcome == "repeated"
    assert (await read(store, job.job_id)).status is JobStatus.PROCESSING


@pytest.mark.parametrize(
    ("lie", "outcome"),
    [
        ({"attempt_id": 2}, "stale_attempt"),
        ({"attempt_id": 0}, "stale_attempt"),
        ({"node_id": "n2"}, "wrong_node"),
        ({"incarnation": "n1.0"}, "wrong_node"),
    ],
)
async def test_only_the_word_of_the_current_attempt_and_its_node_counts(
    store: Store, lie: dict[str, Any], outcome: str
) -> None:
    await join(store, "n1")
    await join(store, "n2", can("de"))
    job = await assign(store)
    before = await read(store, job.job_id)
    done = await finish(store, job, **lie)
    assert done.outcome == outcome
    assert done.record is not None
    assert done.record.status is JobStatus.ASSIGNED
    said: dict[str, Any] = {"attempt_id": 1, "node_id": "n1", "incarnation": "n1.1"} | lie
    for say in (jobs.accept, jobs.start):
        assert (await say(store, job.job_id, **said)).outcome == outcome
    assert await read(store, job.job_id) == before
    assert await load_of(store, "n1") == 1


async def test_a_late_result_of_an_older_attempt_changes_nothing(store: Store) -> None:
    await join(store, "n1")
    await join(store, "n2")
    first = await assign(store)
    second = await jobs.failover(store, first.job_id, 1, reason="PROCESSING_ERROR", wait_ms=0)
    assert isinstance(second, Assigned)
    assert second.node_id != first.node_id
    assert (await finish(store, first)).outcome == "stale_attempt"
    assert (await finish(store, second)).outcome == "ok"
    assert (await finish(store, first)).outcome == "already_ended"
    assert (await read(store, first.job_id)).attempt_id == 2


async def test_an_end_is_final(store: Store) -> None:
    await join(store, "n1")
    job = await assign(store)
    await finish(store, job, JobStatus.FAILED)
    after = await read(store, job.job_id)
    for status in (JobStatus.COMPLETED, JobStatus.CANCELLED, JobStatus.COMPLETED_NO_TEXT):
        assert (await finish(store, job, status)).outcome == "already_ended"
    assert (await jobs.end(store, job.job_id, status=JobStatus.CANCELLED)).outcome == "already_ended"
    assert isinstance(await jobs.failover(store, job.job_id, 1, reason="x", wait_ms=0), JobRecord)
    assert (await jobs.mark_dispatched(store, job.job_id, 1, "n1", offer_ms=None)).outcome == "already_ended"
    assert await read(store, job.job_id) == after


async def test_only_an_end_ends(store: Store) -> None:
    await join(store, "n1")
    job = await assign(store)
    with pytest.raises(ValueError, match="not the end"):
        await finish(store, job, JobStatus.PROCESSING)


async def test_words_about_a_job_nobody_knows_are_told_so(store: Store) -> None:
    ghost = Assigned("ghost", "s", "o", 1, "n", "i", "x", False, Affinity.NONE, 0)
    assert (await finish(store, ghost)).outcome == "missing"
    assert (await jobs.accept(store, "ghost", 1, "n", "i")).outcome == "missing"
    assert (await jobs.mark_dispatched(store, "ghost", 1, "n", offer_ms=None)).outcome == "missing"
    assert (await jobs.end(store, "ghost", status=JobStatus.CANCELLED)).outcome == "missing"
    with pytest.raises(JobMissing):
        await jobs.failover(store, "ghost", 1, reason="x", wait_ms=0)
    assert await jobs.get(store, "ghost") is None
    assert await store.call("DBSIZE") == 0


async def test_the_owner_ends_a_running_job_and_learns_whom_to_tell(store: Store) -> None:
    await join(store, "n1")
    job = await assign(store)
    waiting = await dispatch.dispatch(store, want())
    ended = await jobs.end(store, job.job_id, status=JobStatus.CANCELLED, error_code="JOB_CANCELLED", error_message="ñ")
    assert ended.record is not None
    assert ended.record.node_id == "n1"
    assert [one.job_id for one in ended.assigned] == [waiting.job_id]
    assert (await jobs.end(store, job.job_id, status=JobStatus.CANCELLED)).outcome == "repeated"
    record = await read(store, job.job_id)
    assert (record.error_code, record.error_message) == ("JOB_CANCELLED", "ñ")
    assert (await finish(store, job)).outcome == "already_ended"
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.completed, node.failed) == (0, 0)


async def test_the_next_attempt_goes_elsewhere_and_frees_the_slot(store: Store) -> None:
    await join(store, "n1")
    session_id = await begin(store)
    job = await assign(store, session_id=session_id, turn_id="t1")
    await join(store, "n2")
    waiting = await dispatch.dispatch(store, want(exclude=("n2",)))
    moved = await jobs.failover(store, job.job_id, 1, reason="PROCESSING_ERROR", wait_ms=0)
    assert isinstance(moved, Assigned)
    assert (moved.node_id, moved.attempt_id, moved.moved_from) == ("n2", 2, "n1")
    assert [one.job_id for one in moved.also] == [waiting.job_id]
    record = await read(store, job.job_id)
    assert (record.status, record.attempt_id, record.tried_nodes) == (JobStatus.ASSIGNED, 2, ("n1",))
    node = await nodes.get(store, "n1")
    assert node is not None
    assert node.failed == 1
    assert await jobs.failover(store, job.job_id, 1, reason="PROCESSING_ERROR", wait_ms=0) == moved_again(moved)
    assert await load_of(store, "n2") == 1


def moved_again(first: Assigned) -> Assigned:
    values = {name: getattr(first, name) for name in Assigned.__slots__}
    return Assigned(**(values | {"also": ()}))


async def test_a_job_that_waits_may_have_the_nodes_of_an_instance_that_is_reached_again(store: Store) -> None:
    await join(store, "far", instance_id="s2")
    await join(store, "gone", instance_id="s3")
    waiting = await dispatch.dispatch(store, want(exclude=("@s2", "@s3", "other")))
    assert isinstance(waiting, Waiting)
    assigned = await jobs.readmit(store, waiting.job_id, ["@s2"])
    assert assigned is not None
    assert [(one.job_id, one.node_id) for one in assigned] == [(waiting.job_id, "far")]
    assert await jobs.readmit(store, waiting.job_id, ["@s2"]) is None, "it does not wait any more"
    assert await jobs.readmit(store, "ghost", ["@s2"]) is None


async def test_who_was_first_is_served_first_when_an_instance_is_reached_again(store: Store) -> None:
    await join(store, "far", instance_id="s2")
    first = await dispatch.dispatch(store, want(exclude=("@s2",)))
    second = await dispatch.dispatch(store, want(exclude=("@s2",)))
    assert await jobs.readmit(store, first.job_id, ["@s9"]) == (), "others stay left out"
    assert [one.job_id for one in await jobs.readmit(store, first.job_id, ["@s2"]) or ()] == [first.job_id]
    assert await jobs.readmit(store, second.job_id, ["@s2"]) == (), "the node is full"
    assert await load_of(store, "far") == 1


#: A node says the first four itself; the others are said of a node that never had the job.
NOT_ITS_FAULT = frozenset(
    ["draining", "node_overloaded", "duplicate_job_id", "duplicate_utterance_index", "node_gone", "node_stalled"]
)


async def test_a_blameless_failure_does_not_count_against_the_node(store: Store) -> None:
    await join(store, "n1")
    await join(store, "n2")
    for reason in sorted(jobs.BLAMELESS | NOT_ITS_FAULT):
        job = await assign(store)
        moved = await jobs.failover(store, job.job_id, 1, reason=reason, wait_ms=0)
        assert isinstance(moved, Assigned)
        await finish(store, moved)
    for name in ("n1", "n2"):
        node = await nodes.get(store, name)
        assert node is not None
        assert node.failed == 0


async def test_nodes_that_were_tried_are_avoided_while_there_is_another(store: Store) -> None:
    for name in ("n1", "n2"):
        await join(store, name)
    job = await assign(store)
    second = await jobs.failover(store, job.job_id, 1, reason="drain", wait_ms=0)
    third = await jobs.failover(store, job.job_id, 2, reason="drain", wait_ms=0)
    assert isinstance(second, Assigned)
    assert isinstance(third, Assigned)
    assert third.node_id == job.node_id != second.node_id
    ended = await jobs.failover(store, job.job_id, 3, reason="PROCESSING_ERROR", wait_ms=5_000)
    assert isinstance(ended, EndedJob)
    assert ended.code == "PROCESSING_ERROR"
    assert (await read(store, job.job_id)).status is JobStatus.FAILED
    assert (await load_of(store, "n1"), await load_of(store, "n2")) == (0, 0)


async def test_without_another_node_the_next_attempt_waits_for_one(store: Store) -> None:
    await join(store, "n1", capacity=2)
    job = await assign(store)
    waiting = await jobs.failover(store, job.job_id, 1, reason="offer_timeout", wait_ms=5_000)
    assert isinstance(waiting, Waiting)
    assert await jobs.failover(store, job.job_id, 1, reason="offer_timeout", wait_ms=5_000) == waiting
    assert (await finish(store, job)).outcome == "stale_attempt"
    (moved,) = (await join(store, "n2")).assigned
    assert (moved.job_id, moved.attempt_id, moved.node_id) == (job.job_id, 2, "n2")
    with pytest.raises(StaleAttempt):
        await jobs.failover(store, job.job_id, 7, reason="x", wait_ms=0)


async def test_without_another_node_and_without_patience_the_job_ends(store: Store) -> None:
    await join(store, "n1")
    job = await assign(store)
    ended = await jobs.failover(store, job.job_id, 1, reason="node_lost", wait_ms=0)
    assert isinstance(ended, EndedJob)
    assert (ended.code, ended.owner) == ("NO_AVAILABLE_NODE", "s1")
    assert await load_of(store, "n1") == 0


async def test_a_job_that_was_lost_goes_on_by_its_owners_word(store: Store) -> None:
    await join(store, "n1")
    job = await assign(store)
    await nodes.offline(store, "n1", "n1.1", "node_lost")
    record = await read(store, job.job_id)
    assert (record.status, record.node_id) == (JobStatus.PENDING, "")
    await join(store, "n2")
    moved = await jobs.failover(store, job.job_id, 1, reason="node_lost", wait_ms=0)
    assert isinstance(moved, Assigned)
    assert (moved.node_id, moved.attempt_id) == ("n2", 2)
    assert (await read(store, job.job_id)).tried_nodes == ("n1",)


async def test_a_created_job_is_placed_by_its_first_attempt(store: Store) -> None:
    await join(store, "n1")
    request = want()
    assert await jobs.create(store, request)
    assert not await jobs.create(store, request)
    assert (await read(store, request.job_id)).status is JobStatus.PENDING
    placed = await jobs.failover(store, request.job_id, 0, reason="created", wait_ms=0)
    assert isinstance(placed, Assigned)
    assert (placed.attempt_id, placed.node_id) == (1, "n1")
    assert (await finish(store, placed)).outcome == "ok"


async def test_jobs_are_listed_newest_first_and_page_by_page(store: Store) -> None:
    await join(store, "n1", can("en es", "en es"), capacity=30)
    expected = [(await assign(store)).job_id for _ in range(23)]
    done = await assign(store, pair=ES_EN)
    await finish(store, done)
    everything = await jobs.list_jobs(store)
    assert {job.job_id for job in everything.items} == {*expected, done.job_id}
    found: list[str] = []
    cursor = None
    while True:
        page = await jobs.list_jobs(store, JobStatus.ASSIGNED, 5, cursor)
        found += [job.job_id for job in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(found) == sorted(expected)
    times = {job.job_id: job.created_ms for job in everything.items}
    assert [times[job_id] for job_id in found] == sorted((times[job_id] for job_id in found), reverse=True)
    with pytest.raises(BadCursor):
        await jobs.list_jobs(store, None, 5, "nonsense")
