from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from kit.state import EN_ES, ES_EN, age, assign, begin, can, due_now, finish, join, load_of, want
from lingua_state import dispatch, jobs, nodes, sessions, sweep
from lingua_state.errors import NoNode, QueueFull, SessionReplaced
from lingua_state.models import Affinity, Assigned, DispatchRequest, JobRecord, JobStatus, Pair, Waiting

if TYPE_CHECKING:
    from lingua_state.client import Store


async def wait(store: Store, **changes: Any) -> Waiting:
    answer = await dispatch.dispatch(store, want(**changes))
    assert isinstance(answer, Waiting), answer
    return answer


async def test_a_dispatched_job_is_written_whole(store: Store) -> None:
    await join(store, "n1", acks=True, instance_id="s7")
    session_id = await begin(store, tenant="acme")
    request = want(
        session_id=session_id, tenant="acme", turn_id="t1", utterance_index=4, request_id="r1", trace_id="trace",
        finalize_reason="Silence", audio_ms=2_300, audio_format="opus", expected_ms=800,
        details={"dialect": "es-MX", "text": "ñ" * 40},
    )  # fmt: skip
    job = await dispatch.dispatch(store, request)
    assert isinstance(job, Assigned)
    assert (job.node_id, job.incarnation, job.node_instance, job.acks, job.attempt_id) == ("n1", "n1.1", "s7", True, 1)
    record = await jobs.get(store, request.job_id)
    assert record is not None
    for name in (
        "job_id", "session_id", "owner", "pair", "utterance_index", "turn_id", "tenant", "request_id", "trace_id",
        "finalize_reason", "audio_ms", "audio_format", "sample_rate", "expected_ms", "details",
    ):  # fmt: skip
        assert getattr(record, name) == getattr(request, name), name
    assert (record.status, record.node_id, record.affinity) == (JobStatus.ASSIGNED, "n1", Affinity.NONE)
    assert record.created_ms == record.assigned_ms > 0
    assert record.due_ms == job.deadline_ms == record.created_ms + request.handover_ms
    assert int(await store.call("PTTL", store.keys.job(request.job_id))) > 24 * 3_600_000
    await finish(store, job)
    assert 3_500_000 < int(await store.call("PTTL", store.keys.job(request.job_id))) <= 3_600_000
    session = await sessions.get(store, session_id)
    assert session is not None
    assert (session.node_id, session.turn_id, session.utterances) == ("n1", "t1", 5)


async def test_the_same_call_again_gets_the_first_answer(store: Store) -> None:
    await join(store, "n1", capacity=5)
    request = want()
    first = await dispatch.dispatch(store, request)
    again = await asyncio.gather(*(dispatch.dispatch(store, request) for _ in range(5)))
    assert again == [first] * 5
    assert await load_of(store, "n1") == 1
    assert isinstance(first, Assigned)
    await finish(store, first)
    ended = await dispatch.dispatch(store, request)
    assert isinstance(ended, JobRecord)
    assert ended.status is JobStatus.COMPLETED


async def test_who_held_a_session_before_gets_no_node_for_it_and_changes_nothing(store: Store) -> None:
    await join(store, "n1", capacity=5)
    session_id = await begin(store)
    await assign(store, session_id=session_id, turn_id="t1", generation=1)
    await begin(store, session_id)
    held = await store.call("HGETALL", store.keys.session(session_id))
    stale = want(session_id=session_id, turn_id="t2", utterance_index=7, request_id="r1", generation=1)
    with pytest.raises(SessionReplaced, match="generation 2"):
        await dispatch.dispatch(store, stale)
    assert await jobs.get(store, stale.job_id) is None
    assert await load_of(store, "n1") == 1
    assert await store.call("HGETALL", store.keys.session(session_id)) == held
    assert await store.call("EXISTS", store.keys.request("", "r1")) == 0


async def test_who_held_a_session_before_does_not_wait_for_it_either(store: Store) -> None:
    session_id = await begin(store)
    await begin(store, session_id)
    with pytest.raises(SessionReplaced):
        await dispatch.dispatch(store, want(session_id=session_id, generation=1))
    assert await store.call("EXISTS", store.keys.waiting("en:es")) == 0


async def test_a_job_that_was_made_in_time_gets_its_first_answer_also_when_the_session_went_on(store: Store) -> None:
    await join(store, "n1")
    session_id = await begin(store)
    request = want(session_id=session_id, generation=1)
    first = await dispatch.dispatch(store, request)
    await begin(store, session_id)
    assert await dispatch.dispatch(store, request) == first


@pytest.mark.parametrize("generation", [0, 2, 3])
async def test_the_holder_and_who_names_no_generation_get_their_node(store: Store, generation: int) -> None:
    # A later generation than the store's is that of a holder whose store was set back.
    await join(store, "n1")
    session_id = await begin(store)
    await begin(store, session_id)
    await assign(store, session_id=session_id, generation=generation)


async def test_a_session_that_the_store_has_lost_gets_its_node(store: Store) -> None:
    await join(store, "n1")
    await assign(store, session_id="forgotten", generation=3)


async def test_waiting_again_is_answered_by_the_same_place(store: Store) -> None:
    request = want()
    first = await dispatch.dispatch(store, request)
    assert isinstance(first, Waiting)
    assert await dispatch.dispatch(store, request) == first
    assert await store.call("ZCARD", store.keys.waiting("en:es")) == 1


async def test_one_request_id_makes_one_job(store: Store) -> None:
    await join(store, "n1", capacity=5)
    first = await assign(store, tenant="acme", request_id="r1")
    other = await dispatch.dispatch(store, want(tenant="acme", request_id="r1"))
    assert isinstance(other, JobRecord)
    assert other.job_id == first.job_id
    elsewhere = await assign(store, tenant="umbrella", request_id="r1")
    assert elsewhere.job_id != first.job_id
    assert 0 < int(await store.call("PTTL", store.keys.request("acme", "r1"))) <= 3_600_000


async def test_without_a_node_and_without_patience_nothing_is_written(store: Store) -> None:
    request = want(wait_ms=0, request_id="r1")
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, request)
    assert await jobs.get(store, request.job_id) is None
    assert await store.call("DBSIZE") == 0


async def test_the_queue_is_bounded(store: Store) -> None:
    for _ in range(3):
        await wait(store, queue_limit=3)
    with pytest.raises(QueueFull):
        await wait(store, queue_limit=3)
    assert (await wait(store, queue_limit=3, pair=ES_EN)).ahead == 0


@pytest.mark.parametrize(
    "bad", [{"priority": 10}, {"priority": -1}, {"wait_ms": -1}, {"timeout_ms": 0}, {"max_attempts": 0}]
)
async def test_a_request_out_of_bounds_is_refused(store: Store, bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        await dispatch.dispatch(store, want(**bad))


async def test_who_waits_is_served_by_priority_then_age(store: Store) -> None:
    order = [await wait(store, priority=priority) for priority in (5, 9, 0, 5, 0)]
    assert [one.ahead for one in order] == [0, 1, 0, 2, 1]
    served = [job.job_id for job in (await join(store, "n1", capacity=3)).assigned]
    assert served == [order[2].job_id, order[4].job_id, order[0].job_id]


async def test_a_freed_slot_goes_to_who_waits_in_the_same_call(store: Store) -> None:
    await join(store, "n1")
    running = await assign(store)
    first, second = await wait(store), await wait(store)
    (job,) = (await finish(store, running)).assigned
    assert job.job_id == first.job_id
    (job,) = (await finish(store, job)).assigned
    assert job.job_id == second.job_id
    assert (await finish(store, job)).assigned == ()
    assert await store.call("EXISTS", store.keys.waiting_pairs()) == 0


async def test_a_node_serves_every_pair_it_can_the_oldest_first(store: Store) -> None:
    await join(store, "n1", can("en es", "en es"), capacity=2)
    running = [await assign(store) for _ in range(2)]
    back = await wait(store, pair=ES_EN)
    await age(store, back.job_id, created=1)
    await store.call("ZADD", store.keys.waiting("es:en"), 50_000_000_000_001, back.job_id)
    there = await wait(store)
    await wait(store, pair=ES_EN, tenant="acme", exclude=("n1",))
    assert [job.job_id for job in (await finish(store, running[0])).assigned] == [back.job_id]
    assert [job.job_id for job in (await finish(store, running[1])).assigned] == [there.job_id]


async def test_a_new_job_does_not_pass_an_older_one_that_could_take_the_node(store: Store) -> None:
    await join(store, "n1", capacity=2)
    await nodes.exclude_from_pair(store, "n1", ES_EN, 60_000)
    await store.call("HSET", store.keys.node("n1"), "load", 2)
    await store.call("ZADD", store.keys.pool_nodes(can().pool_id), 1_000_000, "n1")
    older = await wait(store)
    # A slot came free and nobody was told, as when only time passed.
    await store.call("HSET", store.keys.node("n1"), "load", 1)
    await store.call("ZADD", store.keys.pool_nodes(can().pool_id), 500_000, "n1")
    urgent = await dispatch.dispatch(store, want(priority=6))
    assert isinstance(urgent, Waiting)
    assert [job.job_id for job in urgent.also] == [older.job_id]


async def test_a_more_urgent_job_may_pass(store: Store) -> None:
    await join(store, "n1", capacity=2)
    await store.call("HSET", store.keys.node("n1"), "load", 2)
    await store.call("ZADD", store.keys.pool_nodes(can().pool_id), 1_000_000, "n1")
    await wait(store)
    await store.call("HSET", store.keys.node("n1"), "load", 1)
    await store.call("ZADD", store.keys.pool_nodes(can().pool_id), 500_000, "n1")
    assert (await assign(store, priority=0)).node_id == "n1"


async def test_a_job_of_a_turn_waits_for_the_full_node_that_holds_it(store: Store) -> None:
    await join(store, "n1")
    session_id = await begin(store)
    first = await assign(store, session_id=session_id, turn_id="t1")
    await join(store, "n2", capacity=9)
    pinned = await wait(store, session_id=session_id, turn_id="t1")
    stranger = await wait(store, exclude=("n2",), priority=0)
    (job,) = (await finish(store, first)).assigned  # the turn's job comes before the more urgent stranger
    assert (job.job_id, job.node_id, job.affinity) == (pinned.job_id, "n1", Affinity.TURN)
    assert [one.job_id for one in (await finish(store, job)).assigned] == [stranger.job_id]


async def test_a_job_of_a_turn_moves_when_its_patience_is_over(store: Store) -> None:
    await join(store, "n1")
    session_id = await begin(store)
    await assign(store, session_id=session_id, turn_id="t1")
    await join(store, "n2")
    pinned = await wait(store, session_id=session_id, turn_id="t1")
    assert (await sweep.sweep(store)).assigned == ()
    await due_now(store, pinned.job_id)
    (job,) = (await sweep.sweep(store)).assigned
    assert (job.job_id, job.node_id, job.moved_from) == (pinned.job_id, "n2", "n1")
    session = await sessions.get(store, session_id)
    assert session is not None
    assert session.node_id == "n2"


async def test_a_job_of_a_turn_without_another_node_goes_on_waiting(store: Store) -> None:
    await join(store, "n1")
    session_id = await begin(store)
    first = await assign(store, session_id=session_id, turn_id="t1")
    pinned = await wait(store, session_id=session_id, turn_id="t1")
    await due_now(store, pinned.job_id)
    assert (await sweep.sweep(store)).assigned == ()
    assert [job.job_id for job in (await finish(store, first)).assigned] == [pinned.job_id]


async def test_jobs_that_wait_together_for_one_turn_follow_the_first_to_its_node(store: Store) -> None:
    session_id = await begin(store)
    first = await wait(store, session_id=session_id, turn_id="t1")
    second = await wait(store, session_id=session_id, turn_id="t1")
    (job,) = (await join(store, "n1")).assigned
    assert job.job_id == first.job_id
    assert (await join(store, "n2")).assigned == ()
    (follower,) = (await finish(store, job)).assigned
    assert (follower.job_id, follower.node_id, follower.affinity) == (second.job_id, "n1", Affinity.TURN)


async def test_a_follower_of_a_turn_takes_any_node_when_its_patience_is_over(store: Store) -> None:
    session_id = await begin(store)
    await wait(store, session_id=session_id, turn_id="t1")
    second = await wait(store, session_id=session_id, turn_id="t1")
    await join(store, "n1")
    await age(store, second.job_id, turn_until=1)
    (job,) = (await join(store, "n2")).assigned
    assert (job.job_id, job.moved_from) == (second.job_id, "n1")


async def test_a_job_of_a_turn_whose_node_goes_looks_elsewhere_at_once(store: Store) -> None:
    await join(store, "n1")
    session_id = await begin(store)
    await assign(store, session_id=session_id, turn_id="t1")
    await join(store, "n2")
    pinned = await wait(store, session_id=session_id, turn_id="t1")
    await nodes.offline(store, "n1", "n1.1")
    (job,) = (await sweep.sweep(store)).assigned
    assert (job.job_id, job.node_id) == (pinned.job_id, "n2")


async def test_a_cancelled_waiter_leaves_its_queue(store: Store) -> None:
    gone, stays = await wait(store), await wait(store)
    ended = await jobs.end(store, gone.job_id, status=JobStatus.CANCELLED)
    assert ended.outcome == "ok"
    (job,) = (await join(store, "n1", capacity=2)).assigned
    assert job.job_id == stays.job_id


async def test_a_job_takes_less_than_a_kilobyte(valkey_store: Store) -> None:
    store = valkey_store
    await join(store, "n1")
    session_id = await begin(store)
    await assign(store, **typical(session_id))
    (key,) = await store.call("KEYS", store.keys.job("*"))
    assert int(await store.call("MEMORY", "USAGE", key)) < 1_000


def typical(session_id: str) -> dict[str, Any]:
    return {
        "job_id": "j" * 32, "session_id": session_id, "owner": "scheduler-0123456789ab", "turn_id": "t" * 16,
        "utterance_index": 17, "trace_id": "t" * 32, "finalize_reason": "Silence", "audio_ms": 2_300,
        "details": {"pipeline": {"use_asr": True, "use_nmt": True, "use_tts": True}},
    }  # fmt: skip


def test_the_time_to_run_follows_what_is_expected() -> None:
    def run(**changes: int) -> int:
        request: DispatchRequest = want(**changes)
        return dispatch.run_ms(request)

    assert run() == 60_000
    assert run(expected_ms=1_000) == 9_000
    assert run(expected_ms=100_000) == 60_000
    assert run(timeout_ms=2_000, expected_ms=100) == 2_000


async def test_a_job_whose_turns_node_can_not_have_it_is_given_another_free_one_though_an_older_one_waits(
    store: Store,
) -> None:
    await join(store, "n1")
    session_id = await begin(store)
    await finish(store, await assign(store, session_id=session_id, turn_id="t1"))
    await nodes.drain(store, "n1")
    older = await wait(store)
    await join(store, "n2", capacity=2, ready=False)
    await store.call("HSET", store.keys.node("n2"), "reported", "ready")
    await store.call("ZADD", store.keys.pool_nodes(can().pool_id), 0, "n2")  # free, and nobody was told of it yet
    answer = await dispatch.dispatch(store, want(session_id=session_id, turn_id="t1", turn_wait_ms=5_000))
    assert isinstance(answer, Assigned)
    assert answer.node_id == "n2"
    assert [job.job_id for job in answer.also] == [older.job_id]


@pytest.mark.parametrize("queues", [0, 300])
async def test_a_freed_node_finds_its_waiter_behind_any_number_of_others_at_the_same_cost(
    store: Store, queues: int
) -> None:
    await join(store, "n1")
    running = await assign(store)
    for number in range(queues):
        await wait(store, pair=Pair("en", f"x{number}"))
        await wait(store, pair=EN_ES, languages=("en", "es"), both_ways=True, tenant=f"t{number}")
    real = await wait(store, tenant="acme")
    before = await commands(store)
    (job,) = (await finish(store, running)).assigned
    assert job.job_id == real.job_id
    assert await commands(store) - before < 60


async def test_the_most_urgent_of_many_wants_is_served_first(store: Store) -> None:
    await join(store, "n1", can("en fr", "es"))
    running = await assign(store)
    for number in range(150):
        await wait(store, tenant=f"t{number}", priority=6)
    urgent = await wait(store, pair=Pair("auto", "es"), languages=("en", "fr"), tenant="acme", priority=1)
    (job,) = (await finish(store, running)).assigned
    assert job.job_id == urgent.job_id


async def commands(store: Store) -> int:
    """Count the commands the server ran so far, those of scripts too."""
    info = await store.call("INFO", "commandstats")
    return sum(int(calls) for calls in re.findall(r"cmdstat_(?!info)[^:]+:calls=(\d+)", str(info)))


async def test_when_nobody_waits_no_name_is_left(store: Store) -> None:
    await join(store, "n1", can("en fr es", "es en"))
    running = await assign(store)
    wants: list[dict[str, Any]] = [
        {},
        {"tenant": "acme", "pairing": "c0de"},
        {"languages": ("en", "es"), "both_ways": True},
        {"pair": Pair("auto", "es"), "languages": ("en", "fr")},
    ]
    for fields in wants:
        await wait(store, **fields)
    for _ in wants:
        (running,) = (await finish(store, running)).assigned
    await finish(store, running)
    left = [key async for key in store.redis.scan_iter(count=1_000) if ":wait" in key]
    assert left == []
