"""Which node a job gets."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from kit.state import EN_ES, ES_EN, assign, beat, begin, can, finish, join, want
from lingua_state import dispatch, nodes
from lingua_state.errors import NoNode
from lingua_state.models import Affinity, Capability, Pair

if TYPE_CHECKING:
    from lingua_state.client import Store

AUTO_ES = Pair("auto", "es")


async def test_the_least_loaded_by_share_of_capacity_is_chosen(store: Store) -> None:
    await join(store, "small", capacity=2)
    await join(store, "large", can("en fr"), capacity=8)
    served = Counter([(await assign(store)).node_id for _ in range(10)])
    assert served == {"small": 2, "large": 8}
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(wait_ms=0))


async def test_equal_nodes_take_turns(store: Store) -> None:
    for number in range(20):
        await join(store, f"n{number}", can("en", "es") if number % 2 else can("en fr", "es"))
    served: Counter[str] = Counter()
    for _ in range(200):
        job = await assign(store)
        served[job.node_id] += 1
        await finish(store, job)
    assert len(served) == 20
    assert max(served.values()) < 50


@pytest.mark.parametrize("classes", [9, 40])
async def test_with_many_classes_a_free_node_is_never_missed(store: Store, classes: int) -> None:
    for number in range(classes):
        await join(store, f"n{number}", can(f"en x{number}"))
    served = {(await assign(store)).node_id for _ in range(classes)}
    assert len(served) == classes
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(wait_ms=0))


async def test_a_private_node_serves_its_tenant_alone(store: Store) -> None:
    await join(store, "private", can(public=False, tenants=("acme",)))
    for other in ("", "umbrella"):
        with pytest.raises(NoNode):
            await dispatch.dispatch(store, want(tenant=other, wait_ms=0))
    assert (await assign(store, tenant="acme")).node_id == "private"


async def test_a_tenant_with_private_nodes_uses_public_ones_too(store: Store) -> None:
    await join(store, "private", can(public=False, tenants=("acme",)))
    await join(store, "public")
    assert {(await assign(store, tenant="acme")).node_id for _ in range(2)} == {"private", "public"}


async def test_a_paired_node_serves_who_holds_its_code(store: Store) -> None:
    await join(store, "paired", can(public=False, pairing="c0de"))
    for code in (None, "0ther"):
        with pytest.raises(NoNode):
            await dispatch.dispatch(store, want(pairing=code, wait_ms=0))
    assert (await assign(store, pairing="c0de", tenant="acme")).node_id == "paired"


async def test_both_directions_need_a_node_that_serves_both(store: Store) -> None:
    await join(store, "there", can("en", "es"))
    await join(store, "back", can("es", "en"))
    both = {"pair": AUTO_ES, "languages": ("en", "es"), "both_ways": True}
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(**both, wait_ms=0))
    await join(store, "both", can("en es", "en es"))
    assert (await assign(store, **both)).node_id == "both"


async def test_auto_without_languages_needs_a_node_that_finds_the_language(store: Store) -> None:
    await join(store, "told", can("en", "es"))
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(pair=AUTO_ES, wait_ms=0))
    await join(store, "finds", can("en fr", "es", auto=True))
    assert (await assign(store, pair=AUTO_ES)).node_id == "finds"


async def test_auto_with_languages_needs_each_one_that_anybody_offers(store: Store) -> None:
    await join(store, "english", can("en", "es"))
    asked = {"pair": AUTO_ES, "languages": ("en", "fr", "es")}
    job = await assign(store, **asked)  # nobody hears French, and Spanish needs no translation
    assert job.node_id == "english"
    await finish(store, job)
    await join(store, "wide", can("en fr", "es"), capacity=9)
    assert {(await assign(store, **asked)).node_id for _ in range(3)} == {"wide"}


async def test_an_excluded_pair_of_a_capability_is_not_served(store: Store) -> None:
    await join(store, "n1", Capability(("en", "es"), ("en", "es"), exclude=(EN_ES,)))
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(pair=EN_ES, wait_ms=0))
    assert (await assign(store, pair=ES_EN)).node_id == "n1"


async def test_a_node_the_asker_excludes_is_passed_over_also_when_it_is_the_best(store: Store) -> None:
    for number in range(70):
        await join(store, f"n{number:02d}")
    excluded = tuple(f"n{number:02d}" for number in range(69))
    assert (await assign(store, exclude=excluded)).node_id == "n69"


async def test_a_cold_node_does_not_take_every_new_session(store: Store) -> None:
    for number in range(4):
        await join(store, f"warm{number}", capacity=10)
    for _ in range(16):
        await assign(store)  # 40 % each
    await join(store, "cold", capacity=10, slow_start_ms=20_000)
    served = Counter([(await assign(store)).node_id for _ in range(4)])
    assert served["cold"] <= 1


async def test_a_cold_node_is_taken_before_anybody_waits(store: Store) -> None:
    await join(store, "warm", capacity=2)
    await join(store, "cold", capacity=2, slow_start_ms=20_000)
    assert Counter([(await assign(store)).node_id for _ in range(4)]) == {"warm": 2, "cold": 2}


async def test_a_session_stays_with_its_node_while_that_has_room(store: Store) -> None:
    await join(store, "n1", capacity=2)
    session_id = await begin(store)
    first = await assign(store, session_id=session_id, turn_id="t1")
    assert (first.affinity, first.moved_from) == (Affinity.NONE, None)
    await finish(store, first)
    await join(store, "n2", capacity=50)
    again = await assign(store, session_id=session_id, turn_id="t2")
    assert (again.node_id, again.affinity, again.moved_from) == ("n1", Affinity.SESSION, None)
    await assign(store, exclude=("n2",))  # n1 is full now
    moved = await assign(store, session_id=session_id, turn_id="t3")
    assert (moved.node_id, moved.affinity, moved.moved_from) == ("n2", Affinity.NONE, "n1")
    stays = await assign(store, session_id=session_id, turn_id="t4")
    assert (stays.node_id, stays.affinity) == ("n2", Affinity.SESSION)


async def test_a_turn_stays_with_the_node_that_has_its_audio(store: Store) -> None:
    await join(store, "n1", capacity=4)
    session_id = await begin(store)
    await assign(store, session_id=session_id, turn_id="t1")
    await join(store, "n2", capacity=50)
    for _ in range(3):
        job = await assign(store, session_id=session_id, turn_id="t1")
        assert (job.node_id, job.affinity) == ("n1", Affinity.TURN)


@pytest.mark.parametrize("trouble", ["gone", "draining", "languages", "excluded"])
async def test_a_session_moves_when_its_node_is_not_fit(store: Store, trouble: str) -> None:
    await join(store, "n1", can("en fr", "es"), capacity=4)
    session_id = await begin(store)
    await assign(store, session_id=session_id, turn_id="t1")
    await join(store, "n2", can("en de", "es"), capacity=4)
    asked = want(session_id=session_id, turn_id="t1")
    if trouble == "gone":
        await nodes.offline(store, "n1", "n1.1")
    elif trouble == "draining":
        await nodes.drain(store, "n1")
    elif trouble == "languages":
        asked = want(session_id=session_id, turn_id="t1", pair=Pair("de", "es"))
    else:
        asked = want(session_id=session_id, turn_id="t1", exclude=("n1",))
    job = await dispatch.dispatch(store, asked)
    assert (getattr(job, "node_id", None), getattr(job, "moved_from", None)) == ("n2", "n1")


async def test_a_session_that_closed_is_not_brought_back_by_a_late_job(store: Store) -> None:
    await join(store, "n1")
    job = await assign(store, session_id="nobody", turn_id="t1")
    assert job.affinity is Affinity.NONE
    assert not await store.call("EXISTS", store.keys.session("nobody"))


async def test_select_tells_the_node_and_takes_nothing(store: Store) -> None:
    await join(store, "n1")
    session_id = await begin(store)
    for _ in range(3):
        assert await dispatch.select(store, want(session_id=session_id, turn_id="t1")) == "n1"
    await assign(store, session_id=session_id, turn_id="t1")
    assert await dispatch.select(store, want(session_id=session_id, turn_id="t1")) is None
    assert await dispatch.select(store, want()) is None


async def test_explain_gives_each_node_its_reason(store: Store) -> None:
    for name in ("free", "full", "drained", "left_out", "stale", "busy", "out", "probe"):
        await join(store, name)
    await join(store, "private", can(public=False, tenants=("acme",)))
    await join(store, "other", can("de", "fr"))
    await join(store, "starting", ready=False)
    await store.call("HSET", store.keys.node("full"), "load", 1)
    await store.call("HSET", store.keys.node("stale"), "lease_expires_ms", 1)
    await beat(store, "busy", overloaded=True)
    await store.call("HSET", store.keys.node("out"), "quarantine_level", 1, "quarantined_until_ms", 9_999_999_999_999)
    await store.call("HSET", store.keys.node("probe"), "quarantine_level", 1, "quarantined_until_ms", 1)
    await store.call("ZADD", store.keys.pool_nodes(can().pool_id), 1_000_000, "full")
    await store.call("ZREM", store.keys.pool_nodes(can().pool_id), "probe", "out")
    await nodes.drain(store, "drained")
    await nodes.exclude_from_pair(store, "left_out", EN_ES, 60_000)
    excluded = await dispatch.explain(store, want(exclude=("stale", "left_out", "out", "drained", "busy", "full")))
    assert {one.node_id for one in excluded.candidates if one.reason == "excluded"} == {"stale", "left_out", "full"}
    told = await dispatch.explain(store, want())
    assert told.chosen == "free"
    assert told.candidates[0].node_id == "free"
    assert {one.node_id: one.reason for one in told.candidates} == {
        "free": "chosen", "full": "full", "drained": "draining", "left_out": "pair_excluded", "stale": "lease_stale",
        "busy": "overloaded", "out": "quarantined", "probe": "probing", "private": "other_scope",
        "other": "not_offered", "starting": "registering",
    }  # fmt: skip
    assert {one.node_id for one in told.candidates if one.eligible} == {"free", "probe"}


async def test_the_nodes_of_an_instance_the_asker_can_not_reach_are_passed_over(store: Store) -> None:
    await join(store, "far", capacity=9, instance_id="s2")
    await join(store, "near", capacity=9, instance_id="s1")
    served = {(await assign(store, exclude=("@s2",))).node_id for _ in range(9)}
    assert served == {"near"}
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(wait_ms=0, exclude=("@s1", "@s2")))
