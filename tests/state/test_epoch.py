from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_state.epoch import ensure_epoch

if TYPE_CHECKING:
    from lingua_state.client import Store


async def test_the_epoch_stays_until_the_store_loses_its_past(store: Store) -> None:
    first = await ensure_epoch(store)
    assert await ensure_epoch(store) == first
    assert await store.call("GET", store.keys.epoch()) == first
    await store.call("FLUSHALL")
    assert await ensure_epoch(store) != first


async def test_a_flushed_script_cache_is_not_noticed(store: Store) -> None:
    first = await ensure_epoch(store)
    for _ in range(5):
        await store.call("SCRIPT", "FLUSH")
        assert await ensure_epoch(store) == first
