from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from kit.state import EN_ES, age_lease, assign, beat, begin, can, due_now, finish, join, load_of, store_now_ms, want
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
    taken = {(await assign(store, handover_ms=60_000)).job_id for _ in range(230)}
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
    now_ms = await store_now_ms(store)
    await store.call("ZADD", store.keys.jobs_deadline(), now_ms - 2, first.job_id, now_ms - 1, pinned.job_id)
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


HOUR_MS = 3_600_000


async def shift(store: Store, key: str, by_ms: int) -> None:
    """Shift what is due, as if the store's clock had jumped the other way."""
    for member in cast("list[str]", await store.call("ZRANGE", key, 0, -1)):
        await store.call("ZINCRBY", key, by_ms, member)


async def left_ms(store: Store, key: str, member: str) -> int:
    """Tell how long it is until something is due."""
    return int(float(str(await store.call("ZSCORE", key, member)))) - await store_now_ms(store)


async def test_no_node_is_lost_when_the_clock_jumps_forward(store: Store) -> None:
    for number in range(3):
        await join(store, f"n{number}", lease_ms=15_000)
        await store.call("HINCRBY", store.keys.node(f"n{number}"), "lease_expires_ms", -HOUR_MS)
    await shift(store, store.keys.nodes_lease(), -HOUR_MS)
    assert isinstance(waiting := await dispatch.dispatch(store, want()), Waiting)
    swept = await sweep.sweep(store, lease_ms=45_000)
    assert swept.expired_nodes == ()
    assert [one.job_id for one in swept.assigned] == [waiting.job_id], "it may be chosen again at once"
    assert 44_000 < await left_ms(store, store.keys.nodes_lease(), "n0") <= 45_000
    await age_lease(store, "n0")
    assert (await sweep.sweep(store)).expired_nodes == ("n0",), "one that is silent then is found"


async def test_a_node_that_is_spared_does_not_get_its_new_lease_only_when_it_is_spared_no_more(store: Store) -> None:
    await join(store, "n0")
    await store.call("ZADD", store.keys.nodes_lease(), "XX", await store_now_ms(store) - 11_000, "n0")
    assert (await sweep.sweep(store, expire_leases=False, lease_ms=45_000)).expired_nodes == ()
    assert 44_000 < await left_ms(store, store.keys.nodes_lease(), "n0") <= 45_000


async def test_no_lease_is_eternal_when_the_clock_jumps_back(store: Store) -> None:
    await join(store, "n0", lease_ms=15_000)
    await shift(store, store.keys.nodes_lease(), HOUR_MS)
    assert (await sweep.sweep(store, lease_ms=45_000)).expired_nodes == ()
    assert await left_ms(store, store.keys.nodes_lease(), "n0") <= 45_000
    assert (await assign(store)).node_id == "n0"


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS])
@pytest.mark.parametrize("said", range(4))
async def test_a_jobs_time_begins_anew_when_the_clock_jumps(store: Store, by_ms: int, said: int) -> None:
    await join(store, "n1")
    job = await assign(store, handover_ms=3_000, timeout_ms=60_000)
    who = (job.job_id, 1, "n1")
    if said > 0:
        await jobs.mark_dispatched(store, *who, offer_ms=2_000)
    if said > 1:
        await jobs.accept(store, *who, "n1.1")
    if said > 2:
        await jobs.start(store, *who, "n1.1")
    await shift(store, store.keys.jobs_deadline(), by_ms)
    swept = await sweep.sweep(store)
    assert (swept.lost, swept.ended) == ((), ())
    most_ms = 3_000 if said < 2 else 60_000
    assert most_ms - 1_000 < await left_ms(store, store.keys.jobs_deadline(), job.job_id) <= most_ms
    await due_now(store, job.job_id)
    assert [one.job_id for one in (await sweep.sweep(store)).lost] == [job.job_id], "and ends as ever"


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS])
async def test_a_job_that_waits_waits_its_time_when_the_clock_jumps(store: Store, by_ms: int) -> None:
    waiting = await dispatch.dispatch(store, want(wait_ms=10_000))
    await shift(store, store.keys.jobs_deadline(), by_ms)
    key = store.keys.job(waiting.job_id)
    words = str(await store.call("HGET", key, "terms")).split()
    moved = [str(int(word) + by_ms) for word in words[:3]]
    await store.call("HSET", key, "terms", " ".join([*moved, *words[3:]]))
    swept = await sweep.sweep(store)
    assert swept.ended == ()
    assert 9_000 < await left_ms(store, store.keys.jobs_deadline(), waiting.job_id) <= 10_000
    assert [one.job_id for one in (await join(store, "n1")).assigned] == [waiting.job_id]


async def test_a_node_that_was_taken_out_by_a_clock_of_an_hour_ahead_may_prove_itself(store: Store) -> None:
    await join(store, "n1")
    until = await store_now_ms(store) + HOUR_MS
    await store.call("HSET", store.keys.node("n1"), "quarantine_level", 1, "quarantined_until_ms", until)
    await beat(store, "n1")
    assert (await assign(store)).node_id == "n1"
