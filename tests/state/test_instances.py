from __future__ import annotations

from typing import TYPE_CHECKING

from kit.eventually import eventually
from lingua_state import instances

if TYPE_CHECKING:
    from lingua_state.client import Store


async def announce(store: Store, instance_id: str, *, ttl_ms: int = 60_000, sessions: int = 0) -> None:
    await instances.announce(
        store,
        instance_id=instance_id,
        address=f"ws://127.0.0.1:1/{instance_id}",
        version="1",
        sessions=sessions,
        nodes=2,
        draining=sessions > 5,
        ttl_ms=ttl_ms,
    )


async def test_a_live_instance_is_listed_with_what_it_said_last(store: Store) -> None:
    await announce(store, "s1")
    await announce(store, "s2", sessions=3)
    await announce(store, "s1", sessions=7)
    found = {record.instance_id: record for record in await instances.live(store)}
    assert set(found) == {"s1", "s2"}
    assert (found["s1"].sessions, found["s1"].nodes, found["s1"].draining) == (7, 2, True)
    assert (found["s2"].sessions, found["s2"].draining) == (3, False)
    assert found["s1"] == await instances.get(store, "s1")
    assert 0 < found["s1"].started_ms < found["s1"].expires_ms


async def test_an_instance_that_leaves_leaves_nothing(store: Store) -> None:
    await announce(store, "s1")
    await instances.leave(store, "s1")
    await instances.leave(store, "s1")
    assert await instances.live(store) == []
    assert await instances.get(store, "s1") is None
    assert await store.call("DBSIZE") == 0


async def test_an_instance_that_falls_silent_lapses(store: Store) -> None:
    await announce(store, "silent", ttl_ms=30)
    await announce(store, "loud")
    await eventually(lambda: _names(store, ["loud"]))
    # Its record lapses by the server's own clock for keys, which may be a millisecond behind the list.
    await eventually(lambda: _gone(store, "silent"))
    await announce(store, "loud")
    assert await store.call("ZRANGE", store.keys.instances(), 0, -1) == ["loud"]


async def _names(store: Store, wanted: list[str]) -> bool:
    return [record.instance_id for record in await instances.live(store)] == wanted


async def _gone(store: Store, instance_id: str) -> bool:
    return await instances.get(store, instance_id) is None


async def test_an_instance_of_before_a_clock_jumped_back_does_not_live_for_ever(store: Store) -> None:
    for name in ("dead", "s1"):
        await instances.announce(
            store, instance_id=name, address="http://x", version="1", sessions=0, nodes=0, draining=False, ttl_ms=10_000
        )
    await store.call("ZINCRBY", store.keys.instances(), 3_600_000, "dead")
    await instances.announce(
        store, instance_id="s1", address="http://x", version="1", sessions=0, nodes=0, draining=False, ttl_ms=10_000
    )
    ends = [await store.call("ZSCORE", store.keys.instances(), name) for name in ("dead", "s1")]
    assert ends[0] == ends[1]
