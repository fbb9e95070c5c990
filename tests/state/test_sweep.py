from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kit.state import EN_ES, age_lease, assign, beat, begin, can, due_now, finish, join, load_of, want
from lingua_state import dispatch, jobs, nodes, pools, sweep
from lingua_state.models import JobStatus, NodeStatus, Waiting

if TYPE_CHECKING:
    from lingua_state.client import Store


@pytest.mark.parametrize(
    ("said", "acks", "reason", "failed"),
    [
        (0, True, "handover_timeout", 0),
        (1, True, "offer_timeout", 1),
        (1, False, "job_timeout", 1),
        (2, True, "job_timeout", 1),
        (3, True, "job_timeout", 1),
    ],
)
async def test_an_attempt_that_lapses_goes_back_to_its_owner(
    store: Store, said: int, acks: bool, reason: str, failed: int
) -> None:
    await join(store, "n1", acks=acks)
    job = await assign(store)
    who = (job.job_id, 1, "n1")
    if said > 0:
        await jobs.mark_dispatched(store, *who, offer_ms=2_000 if acks else None)
    if said > 1:
        await jobs.accept(store, *who, "n1.1")
    if said > 2:
        await jobs.start(store, *who, "n1.1")
    assert (await sweep.sweep(store)).lost == ()
    await due_now(store, job.job_id)
    (lost,) = (await sweep.sweep(store)).lost
    assert (lost.job_id, lost.owner, lost.attempt_id, lost.node_id, lost.reason) == (job.job_id, "s1", 1, "n1", reason)
    assert (await sweep.sweep(store)).lost == ()
    assert (await finish(store, job)).outcome == "stale_attempt"
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.load, node.failed) == (0, failed)


@pytest.mark.parametrize(("reason", "code"), [("node_lost", "WS_DISCONNECTED"), ("offer", "JOB_TIMEOUT")])
async def test_a_lost_job_that_nobody_takes_care_of_ends(store: Store, reason: str, code: str) -> None:
    await join(store, "n1")
    job = await assign(store)
    if reason == "node_lost":
        await nodes.offline(store, "n1", "n1.1", reason)
    else:
        await due_now(store, job.job_id)
        await sweep.sweep(store)
    assert (await sweep.sweep(store)).ended == ()
    await due_now(store, job.job_id)
    (ended,) = (await sweep.sweep(store)).ended
    assert (ended.job_id, ended.owner, ended.code) == (job.job_id, "s1", code)
    record = await jobs.get(store, job.job_id)
    assert record is not None
    assert (record.status, record.error_code) == (JobStatus.FAILED, code)


async def test_a_wait_that_is_over_ends_the_job_even_when_a_node_is_there_by_then(store: Store) -> None:
    waiting = await dispatch.dispatch(store, want(wait_ms=1))
    assert isinstance(waiting, Waiting)
    await due_now(store, waiting.job_id)
    (ended,) = (await sweep.sweep(store)).ended
    assert (ended.job_id, ended.code) == (waiting.job_id, "NO_AVAILABLE_NODE")
    assert (await join(store, "n1")).assigned == ()
    assert await store.call("EXISTS", store.keys.waiting_pairs(), store.keys.waiting("en:es")) == 0


async def test_a_pinned_wait_that_is_over_ends_the_job(store: Store) -> None:
    await join(store, "n1")
    session_id = await begin(store)
    await assign(store, session_id=session_id, turn_id="t1")
    pinned = await dispatch.dispatch(store, want(session_id=session_id, turn_id="t1", wait_ms=1))
    assert isinstance(pinned, Waiting)
    await due_now(store, pinned.job_id)
    swept = await sweep.sweep(store)
    while not swept.ended:
        swept = await sweep.sweep(store)
    assert [job.code for job in swept.ended] == ["NO_AVAILABLE_NODE"]
    assert await store.call("EXISTS", store.keys.node_waiting("n1")) == 0


async def test_a_node_whose_lease_is_over_goes_with_all_its_jobs(store: Store) -> None:
    await join(store, "n1", capacity=250)
    await join(store, "n2", can("de"))
    taken = {(await assign(store)).job_id for _ in range(230)}
    await age_lease(store, "n1")
    lost: list[str] = []
    expired: list[str] = []
    while not expired:
        assert (await sweep.sweep(store, expire_leases=False)).lost == ()
        swept = await sweep.sweep(store)
        assert len(swept.lost) <= 100
        lost += [job.job_id for job in swept.lost]
        expired += swept.expired_nodes
        assert swept.more or expired
    assert (sorted(lost), expired) == (sorted(taken), ["n1"])
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.status, node.load, node.failed) == (NodeStatus.OFFLINE, 0, 1)
    assert (await beat(store, "n1")).outcome == "unknown"
    assert (await sweep.sweep(store)).expired_nodes == ()


async def test_two_sweepers_do_each_thing_once(store: Store) -> None:
    await join(store, "n1", capacity=300)
    taken = [await assign(store) for _ in range(300)]
    for job in taken:
        await due_now(store, job.job_id)
    swept = await asyncio.gather(*(sweep.sweep(store) for _ in range(8)))
    lost = [job.job_id for one in swept for job in one.lost]
    assert sorted(lost) == sorted(job.job_id for job in taken)
    assert max(len(one.lost) for one in swept) == 100


async def test_a_slot_that_a_sweep_frees_goes_to_who_waits(store: Store) -> None:
    await join(store, "n1")
    job = await assign(store)
    waiting = await dispatch.dispatch(store, want())
    await due_now(store, job.job_id)
    swept = await sweep.sweep(store)
    assert [one.job_id for one in swept.assigned] == [waiting.job_id]
    assert await load_of(store, "n1") == 1


async def test_a_job_that_gets_its_node_in_the_middle_of_a_sweep_keeps_it(store: Store) -> None:
    await join(store, "n1")
    session_id = await begin(store)
    first = await assign(store, session_id=session_id, turn_id="t1")
    pinned = await dispatch.dispatch(store, want(session_id=session_id, turn_id="t1"))
    await store.call("ZADD", store.keys.jobs_deadline(), 1, first.job_id, 2, pinned.job_id)
    swept = await sweep.sweep(store)
    assert [one.job_id for one in swept.lost] == [first.job_id]
    assert [one.job_id for one in swept.assigned] == [pinned.job_id]
    record = await jobs.get(store, pinned.job_id)
    assert record is not None
    assert record.status is JobStatus.ASSIGNED


async def test_what_only_time_made_possible_is_found_by_the_sweep(store: Store) -> None:
    await join(store, "n1")
    await nodes.exclude_from_pair(store, "n1", EN_ES, 60_000)
    waiting = await dispatch.dispatch(store, want())
    assert (await sweep.sweep(store)).assigned == ()
    await store.call("HSET", store.keys.node("n1"), "excluded", "en:es=1")
    assert [one.job_id for one in (await sweep.sweep(store)).assigned] == [waiting.job_id]


async def test_ended_jobs_leave_the_index_by_age(store: Store) -> None:
    await join(store, "n1")
    old, new = await assign(store), await dispatch.dispatch(store, want())
    (waited,) = (await finish(store, old)).assigned
    await finish(store, waited)
    await store.call("ZADD", store.keys.jobs(JobStatus.COMPLETED), 1, old.job_id)
    await sweep.sweep(store)
    assert await store.call("ZRANGE", store.keys.jobs(JobStatus.COMPLETED), 0, -1) == [new.job_id]


async def test_a_class_without_a_node_leaves_its_pairs_after_a_while(store: Store) -> None:
    await join(store, "n1")
    await nodes.offline(store, "n1", "n1.1")
    await sweep.sweep(store)
    assert await pools.offered(store, EN_ES)
    await store.call("ZADD", store.keys.pools_all(), 1, can().pool_id)
    await sweep.sweep(store)
    assert not await pools.offered(store, EN_ES)
    assert await store.call("ZCARD", store.keys.pools_all()) == 0
    assert (await join(store, "n1", incarnation="n1.2")).status is NodeStatus.READY
    assert (await assign(store)).node_id == "n1"
