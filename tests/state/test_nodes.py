from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.state import EN_ES, ES_EN, age, assign, beat, can, finish, join, load_of, want
from lingua_state import dispatch, nodes
from lingua_state.errors import NoNode
from lingua_state.models import Assigned, NodeStatus, Waiting
from lingua_state.pages import BadCursor

if TYPE_CHECKING:
    from lingua_state.client import Store


async def test_a_node_that_joins_is_read_back_and_gets_work(store: Store) -> None:
    joined = await join(store, "n1", can("en fr", "es"), capacity=2, acks=True, version="1.2", document={"gpu": "none"})
    assert (joined.status, joined.lost, joined.assigned) == (NodeStatus.READY, (), ())
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.capability, node.capacity, node.load, node.acks) == (can("en fr", "es"), 2, 0, True)
    assert (node.version, node.document, node.incarnation) == ("1.2", {"gpu": "none"}, "n1.1")
    assert node.lease_expires_ms == node.registered_ms + 60_000
    assert (await assign(store)).node_id == "n1"
    assert await nodes.get(store, "nobody") is None


async def test_registering_again_by_the_same_connection_keeps_its_jobs(store: Store) -> None:
    await join(store, "n1", capacity=2)
    job = await assign(store)
    assert (await join(store, "n1", capacity=2)).lost == ()
    assert await load_of(store, "n1") == 1
    assert (await finish(store, job)).outcome == "ok"


async def test_a_newer_connection_holds_the_node_and_ends_what_the_older_one_had(store: Store) -> None:
    await join(store, "n1", capacity=250)
    taken = [await assign(store) for _ in range(205)]
    joined = await join(store, "n1", capacity=250, incarnation="n1.2")
    assert {job.job_id for job in joined.lost} == {job.job_id for job in taken}
    assert {job.reason for job in joined.lost} == {"node_replaced"}
    assert await load_of(store, "n1") == 0
    assert (await finish(store, taken[0])).outcome == "stale_attempt"
    assert (await beat(store, "n1")).outcome == "replaced"
    assert await nodes.offline(store, "n1", "n1.1") == ()
    assert (await beat(store, "n1", incarnation="n1.2")).outcome == "ok"


async def test_capacity_and_lease_below_one_are_refused(store: Store) -> None:
    for capacity, lease_ms in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            await join(store, "n1", capacity=capacity, lease_ms=lease_ms)


async def test_a_beat_of_a_node_nobody_knows_brings_nothing_back(store: Store) -> None:
    assert (await beat(store, "n1")).outcome == "unknown"
    await join(store, "n1")
    await nodes.offline(store, "n1", "n1.1")
    assert (await beat(store, "n1")).outcome == "unknown"
    assert await store.call("ZSCORE", store.keys.nodes_lease(), "n1") is None
    assert not await store.call("SISMEMBER", store.keys.nodes_all(), "n1")


async def test_a_beat_moves_the_lease(store: Store) -> None:
    await join(store, "n1", lease_ms=1_000)
    before = await nodes.get(store, "n1")
    assert (await beat(store, "n1", lease_ms=90_000, resources={"cpu": 12.5})).outcome == "ok"
    after = await nodes.get(store, "n1")
    assert before is not None
    assert after is not None
    assert after.lease_expires_ms >= before.lease_expires_ms + 89_000
    assert int(await store.call("ZSCORE", store.keys.nodes_lease(), "n1")) == after.lease_expires_ms
    assert after.resources == {"cpu": 12.5}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"overloaded": True}, NodeStatus.DEGRADED),
        ({"ready": False}, NodeStatus.REGISTERING),
        ({"draining": True}, NodeStatus.DRAINING),
    ],
)
async def test_a_node_that_says_no_gets_nothing_until_it_says_yes(
    store: Store, said: dict[str, bool], status: NodeStatus
) -> None:
    await join(store, "n1")
    assert (await beat(store, "n1", **said)).status is status
    waiting = await dispatch.dispatch(store, want())
    assert isinstance(waiting, Waiting)
    beaten = await beat(store, "n1")
    assert beaten.status is NodeStatus.READY
    assert [job.job_id for job in beaten.assigned] == [waiting.job_id]


async def test_changed_languages_move_a_node_to_another_class(store: Store) -> None:
    await join(store, "n1", can("en", "es"))
    waiting = await dispatch.dispatch(store, want(pair=ES_EN))
    assert isinstance(waiting, Waiting)
    beaten = await beat(store, "n1", capability=can("es", "en"))
    assert [job.job_id for job in beaten.assigned] == [waiting.job_id]
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(pair=EN_ES, wait_ms=0))
    node = await nodes.get(store, "n1")
    assert node is not None
    assert node.capability == can("es", "en")


async def test_a_drained_node_finishes_what_it_has_and_gets_nothing_new(store: Store) -> None:
    await join(store, "n1", capacity=2)
    job = await assign(store)
    assert await nodes.drain(store, "n1")
    assert await nodes.drain(store, "n1")
    waiting = await dispatch.dispatch(store, want())
    assert isinstance(waiting, Waiting)
    assert (await beat(store, "n1")).status is NodeStatus.DRAINING
    assert (await finish(store, job)).assigned == ()
    assert [job.job_id for job in await nodes.undrain(store, "n1")] == [waiting.job_id]
    assert not await nodes.drain(store, "nobody")
    assert await nodes.undrain(store, "nobody") == ()


async def test_a_drain_outlives_a_new_connection(store: Store) -> None:
    await join(store, "n1")
    await nodes.drain(store, "n1")
    assert (await join(store, "n1", incarnation="n1.2")).status is NodeStatus.DRAINING


async def test_a_node_that_goes_gives_each_job_back_once(store: Store) -> None:
    await join(store, "n1", capacity=250)
    taken = {(await assign(store)).job_id for _ in range(203)}
    lost = await nodes.offline(store, "n1", "n1.1", "node_lost")
    assert {job.job_id for job in lost} == taken
    assert len(lost) == len(taken)
    assert await nodes.offline(store, "n1", "n1.1") == ()
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.status, node.load, node.failed) == (NodeStatus.OFFLINE, 0, 1)
    assert int(await store.call("PTTL", store.keys.node("n1"))) > 0


async def test_a_drain_deadline_takes_the_jobs_but_leaves_the_node(store: Store) -> None:
    await join(store, "n1", capacity=3)
    job = await assign(store)
    await nodes.drain(store, "n1")
    (lost,) = await nodes.release_jobs(store, "n1", "n1.1")
    assert (lost.job_id, lost.reason) == (job.job_id, "drain")
    assert (await beat(store, "n1")).status is NodeStatus.DRAINING
    node = await nodes.get(store, "n1")
    assert node is not None
    assert node.failed == 0


async def test_a_node_without_a_model_is_left_out_of_that_pair_alone(store: Store) -> None:
    await join(store, "n1", can("en es", "en es"), capacity=4)
    await nodes.exclude_from_pair(store, "n1", EN_ES, 60_000)
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(pair=EN_ES, wait_ms=0))
    assert (await assign(store, pair=ES_EN)).node_id == "n1"
    await nodes.exclude_from_pair(store, "n1", EN_ES, 1)
    await age_exclusion(store, "n1")
    assert (await assign(store, pair=EN_ES)).node_id == "n1"


async def age_exclusion(store: Store, node_id: str) -> None:
    await store.call("HSET", store.keys.node(node_id), "excluded", "en:es=1")


async def test_three_failures_within_five_jobs_take_a_node_out_until_it_proves_itself(store: Store) -> None:
    await join(store, "n1", capacity=4)
    for blame in (True, False, True, False):
        await finish(store, await assign(store), blame=blame)
    probe = await assign(store)
    await finish(store, probe, blame=True)
    node = await nodes.get(store, "n1")
    assert node is not None
    assert node.status is NodeStatus.DEGRADED
    assert 29_000 < node.quarantined_until_ms - node.heartbeat_ms < 61_000
    waiting = [await dispatch.dispatch(store, want()) for _ in range(2)]
    assert all(isinstance(one, Waiting) for one in waiting)
    assert (await beat(store, "n1")).assigned == ()

    await store.call("HSET", store.keys.node("n1"), "quarantined_until_ms", 1)  # the back-off is over
    (first,) = (await beat(store, "n1")).assigned  # one at a time, though it has four slots
    done = await finish(store, first)
    assert [job.job_id for job in done.assigned] == [waiting[1].job_id]
    assert (await beat(store, "n1")).status is NodeStatus.READY


async def test_a_failed_probe_doubles_the_back_off_up_to_five_minutes(store: Store) -> None:
    await join(store, "n1", capacity=4)
    for _ in range(3):
        await finish(store, await assign(store), blame=True)
    back_offs = []
    for _ in range(6):
        node = await nodes.get(store, "n1")
        seconds, _ = await store.call("TIME")
        assert node is not None
        back_offs.append(round((node.quarantined_until_ms - int(seconds) * 1000) / 30_000))
        await store.call("HSET", store.keys.node("n1"), "quarantined_until_ms", 1)
        await beat(store, "n1")
        await finish(store, await assign(store), blame=True)
    assert back_offs == [1, 2, 4, 8, 10, 10]


async def test_two_failures_within_five_do_not_take_a_node_out(store: Store) -> None:
    await join(store, "n1")
    for blame in (True, True, False, False, False, True, True, False):
        await finish(store, await assign(store), blame=blame)
    assert (await beat(store, "n1")).status is NodeStatus.READY


async def test_nodes_are_listed_page_by_page(store: Store) -> None:
    names = {f"n{number}" for number in range(25)}
    for name in names:
        await join(store, name)
    found: list[str] = []
    cursor = None
    for _ in range(100):
        page = await nodes.list_nodes(store, 10, cursor)
        found += [node.node_id for node in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert set(found) == names
    assert await nodes.count(store) == 25
    with pytest.raises(BadCursor):
        await nodes.list_nodes(store, 10, "x")


async def test_a_lapsed_lease_is_enough_to_get_nothing(store: Store) -> None:
    await join(store, "n1", capacity=4)
    await join(store, "n2", capacity=4)
    await store.call("HSET", store.keys.node("n1"), "lease_expires_ms", 1)
    assert {(await assign(store)).node_id for _ in range(4)} == {"n2"}


async def test_a_waiting_job_goes_to_the_node_that_joins(store: Store) -> None:
    waiting = [await dispatch.dispatch(store, want()) for _ in range(3)]
    joined = await join(store, "n1", capacity=2)
    assert [job.job_id for job in joined.assigned] == [one.job_id for one in waiting[:2]]
    assert await load_of(store, "n1") == 2


async def test_a_waiter_whose_wait_is_over_is_not_given_a_node(store: Store) -> None:
    lapsed = await dispatch.dispatch(store, want(wait_ms=1))
    live = await dispatch.dispatch(store, want())
    assert isinstance(lapsed, Waiting)
    await age(store, lapsed.job_id, wait_until=1)
    (job,) = (await join(store, "n1", capacity=2)).assigned
    assert isinstance(live, Waiting)
    assert isinstance(job, Assigned)
    assert job.job_id == live.job_id
