"""The store's clock, so that a page can tell ages without trusting its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from lingua_state.client import Store


async def now_ms(store: Store) -> int:
    """Read the store's clock, in milliseconds of Unix time."""
    seconds, micros = cast("list[bytes | str | int]", await store.call("TIME"))
    return int(seconds) * 1000 + int(micros) // 1000
