"""The store's epoch: random, set once. If it changes, the store lost its past and what is alive must be said again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_state.ids import new_epoch

if TYPE_CHECKING:
    from lingua_state.client import Store


async def ensure_epoch(store: Store) -> str:
    """Read the epoch, and name it if the store has none. The rule is in ``scripts/epoch.lua``."""
    _, epoch = await store.scripts.run("epoch", [store.keys.epoch()], [new_epoch()])
    return str(epoch)
