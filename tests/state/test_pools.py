from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import PATIENCE_S
from kit.state import EN_ES, ES_EN, assign, beat, begin, can, join, want
from lingua_state import dispatch, nodes, pools
from lingua_state.errors import ClassesRefused
from lingua_state.models import Capability, ClassBounds, Pair
from lingua_state.sweep import sweep

if TYPE_CHECKING:
    from lingua_state.client import Store


def wide() -> Capability:
    return Capability(tuple(f"a{number}" for number in range(99)), tuple(f"t{number}" for number in range(40)))


async def test_a_wide_class_is_listed_in_parts_and_a_known_one_at_once(store: Store) -> None:
    await join(store, "n1", wide())
    before = await store.call("INFO", "commandstats")
    await join(store, "n2", wide())
    after = await store.call("INFO", "commandstats")
    assert calls(after, "sadd") - calls(before, "sadd") <= 2
    assert await store.call("SCARD", store.keys.pool(Pair("a98", "t39"))) == 1
    assert len(await pools.pairs(store)) == 99 * 40
    assert (await assign(store, pair=Pair("a50", "t7"))).node_id in {"n1", "n2"}


def calls(info: object, command: str) -> int:
    line = str(info).partition(f"cmdstat_{command}:calls=")[2]
    return int(line.partition(",")[0] or 0)


async def test_many_nodes_of_a_new_wide_class_may_join_at_once(store: Store) -> None:
    joined = await asyncio.wait_for(
        asyncio.gather(*(join(store, f"n{number}", wide()) for number in range(30))), PATIENCE_S
    )
    assert len(joined) == 30
    assert (await store.call("HGET", store.keys.pool_def(wide().pool_id), "nodes")) == "30"


async def test_a_wide_class_is_retired_whole(store: Store) -> None:
    await join(store, "n1", wide())
    await nodes.offline(store, "n1", "n1.1")
    assert not await pools.retire(store, wide().pool_id)
    await store.call("ZADD", store.keys.pools_all(), 1, wide().pool_id)
    assert await pools.retire(store, wide().pool_id)
    assert not [key async for key in store.redis.scan_iter(store.keys.pool(Pair("a*", "t*")))]
    assert int(await store.call("PTTL", store.keys.pool_def(wide().pool_id))) > 0


async def test_a_class_with_a_node_is_not_retired(store: Store) -> None:
    await join(store, "n1")
    assert not await pools.retire(store, can().pool_id, idle_ms=0)
    assert not await pools.retire(store, "nothing", idle_ms=0)
    assert await pools.offered(store, EN_ES)


async def test_a_class_that_joins_while_it_is_retired_stays(store: Store) -> None:
    for round_ in range(10):
        await join(store, "n1", wide(), incarnation=f"n1.{round_}")
        await nodes.offline(store, "n1", f"n1.{round_}")
        await store.call("ZADD", store.keys.pools_all(), 1, wide().pool_id)
        await asyncio.gather(
            pools.retire(store, wide().pool_id), join(store, "n1", wide(), incarnation=f"n1.{round_}b")
        )
        for pair in (Pair("a0", "t0"), Pair("a98", "t39"), Pair("a40", "t20")):
            assert await store.call("SCARD", store.keys.pool(pair)) == 1
        await nodes.offline(store, "n1", f"n1.{round_}b")


async def test_summaries_tell_room_and_who_waits(store: Store) -> None:
    await join(store, "n1", can("en es", "en es"), capacity=3)
    await join(store, "n2", can("en es", "en es"), capacity=2)
    await join(store, "n3", can(public=False, tenants=("acme",)))
    assert (await assign(store, exclude=("n2",))).node_id == "n1"
    await dispatch.dispatch(store, want(pair=Pair("fr", "es")))
    (class_,) = [pool for pool in await pools.pools(store) if pool.capability.access.public]
    assert (class_.nodes, class_.choosable, class_.capacity, class_.free) == (2, 2, 5, 4)
    rows = {(str(row.pair), row.scope): row for row in await pools.pairs(store)}
    assert set(rows) == {("en:es", ""), ("es:en", ""), ("en:es", "acme"), ("fr:es", "")}
    assert (rows["en:es", ""].classes, rows["en:es", ""].nodes, rows["en:es", ""].free) == (1, 2, 4)
    assert (rows["fr:es", ""].classes, rows["fr:es", ""].waiting) == (0, 1)
    assert rows["fr:es", ""].oldest_wait_ms >= 0
    await nodes.drain(store, "n1")
    (class_,) = [pool for pool in await pools.pools(store) if pool.capability.access.public]
    assert (class_.nodes, class_.choosable, class_.free) == (2, 1, 2)


async def test_offered_is_told_for_what_the_asker_may_see(store: Store) -> None:
    await join(store, "n1", can("en", "es", public=False, tenants=("acme",)))
    assert not await pools.offered(store, EN_ES)
    assert await pools.offered(store, EN_ES, tenant="acme")
    assert not await pools.offered(store, ES_EN, tenant="acme")
    await join(store, "n2", can("de", "en", public=False, pairing="c0de"))
    assert await pools.offered(store, Pair("de", "en"), pairing="c0de")
    assert not await pools.offered(store, Pair("de", "en"), tenant="acme")


async def test_both_directions_are_offered_by_a_class_that_has_both(store: Store) -> None:
    asked: dict[str, Any] = {"languages": ("es", "en"), "both_ways": True}
    await join(store, "n1", can("en", "es"))
    await join(store, "n2", can("es", "en"))
    assert not await pools.offered(store, Pair("auto", "es"), **asked)
    await join(store, "n3", can("es en", "en es"))
    assert await pools.offered(store, Pair("auto", "es"), **asked)


async def test_auto_is_offered_where_any_language_to_the_target_is(store: Store) -> None:
    await join(store, "n1", can("en", "es"))
    assert await pools.offered(store, Pair("auto", "es"))
    assert not await pools.offered(store, Pair("auto", "en"))
    await join(store, "n2", can("de", "fr", public=False, tenants=("acme",)))
    assert not await pools.offered(store, Pair("auto", "fr"))
    assert await pools.offered(store, Pair("auto", "fr"), tenant="acme")


async def test_who_waits_is_told_oldest_first(store: Store) -> None:
    await begin(store)
    for pair in (EN_ES, ES_EN, EN_ES):
        await dispatch.dispatch(store, want(pair=pair))
    rows = await pools.waiting_depths(store)
    assert {name: depth for name, depth, _ in rows} == {"en:es": 2, "es:en": 1}
    assert all(0 <= wait_ms < 60_000 for _, _, wait_ms in rows)


async def test_a_node_lists_only_so_many_new_classes_and_known_ones_at_will(store: Store) -> None:
    bounds = ClassBounds(per_node=3)
    for number in range(3):
        await join(store, "n1", can(f"x{number}"), bounds=bounds)
    with pytest.raises(ClassesRefused):
        await join(store, "n1", can("x3"), bounds=bounds)
    with pytest.raises(ClassesRefused):
        await beat(store, "n1", capability=can("x4"), bounds=bounds)
    await join(store, "n1", can("x0"), bounds=bounds)
    await join(store, "n2", can("x3"), bounds=bounds)
    assert {pool.capability.asr for pool in await pools.pools(store)} == {("x0",), ("x1",), ("x2",), ("x3",)}


async def test_only_so_many_classes_are_known_and_the_idle_ones_make_room(store: Store) -> None:
    bounds = ClassBounds(total=2)
    await join(store, "n1", can("x1"), bounds=bounds)
    await join(store, "n2", can("x2"), bounds=bounds)
    with pytest.raises(ClassesRefused):
        await join(store, "n3", can("x3"), bounds=bounds)
    await nodes.offline(store, "n1", "n1.1")
    await sweep(store, idle_ms=0)
    await join(store, "n3", can("x3"), bounds=bounds)


async def test_a_sweep_retires_many_idle_classes(store: Store) -> None:
    for number in range(8):
        await join(store, "n1", can(f"x{number}"))
    await sweep(store, idle_ms=0)
    assert len(await pools.pools(store)) == 1
