"""Pairing codes open nodes, and can't be found by trying."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually
from kit.state import can, join
from lingua_state import nodes, pairing, pools
from lingua_state.errors import GuessesUsedUp, PairingCodeWrong

if TYPE_CHECKING:
    from lingua_state.client import Store

WINDOW_MS = 60_000


async def look(store: Store, code: str, *guessers: str, tries: int = 3, window_ms: int = WINDOW_MS) -> None:
    await pairing.check(store, code, guessers or ("a",), tries=tries, window_ms=window_ms)


async def test_a_code_is_known_while_a_class_that_it_opens_is_listed(store: Store) -> None:
    with pytest.raises(PairingCodeWrong):
        await look(store, "c0de")
    capability = can(public=False, pairing="c0de")
    await join(store, "n1", capability)
    await look(store, "c0de")
    await nodes.offline(store, "n1", "n1.1")
    await look(store, "c0de")
    assert await pools.retire(store, capability.pool_id, idle_ms=0)
    with pytest.raises(PairingCodeWrong):
        await look(store, "c0de")


async def test_a_public_node_may_have_a_code_too(store: Store) -> None:
    await join(store, "n1", can(pairing="c0de"))
    await look(store, "c0de")


async def test_who_guesses_wrong_too_often_is_told_nothing_even_of_a_right_code(store: Store) -> None:
    await join(store, "n1", can(public=False, pairing="c0de"))
    for _ in range(3):
        with pytest.raises(PairingCodeWrong):
            await look(store, "0000", "address 1", "tenant 1")
    for guessers in (("address 1",), ("address 2", "tenant 1")):
        with pytest.raises(GuessesUsedUp):
            await look(store, "c0de", *guessers)
    await look(store, "c0de", "address 2", "tenant 2")


async def test_right_codes_are_never_counted(store: Store) -> None:
    await join(store, "n1", can(public=False, pairing="c0de"))
    for _ in range(10):
        await look(store, "c0de")


async def test_the_window_ends(store: Store) -> None:
    await join(store, "n1", can(public=False, pairing="c0de"))
    with pytest.raises(PairingCodeWrong):
        await look(store, "0000", tries=1)

    async def is_open() -> bool:
        try:
            await look(store, "c0de", tries=1)
        except GuessesUsedUp:
            return False
        return True

    assert not await is_open()
    (window,) = [key async for key in store.redis.scan_iter(count=1_000) if "guesses" in key]
    assert 0 < await store.call("PTTL", window) <= WINDOW_MS
    await store.call("PEXPIRE", window, 1)
    await eventually(is_open)


async def test_neither_address_nor_code_is_kept_in_plain_words(store: Store) -> None:
    with pytest.raises(PairingCodeWrong):
        await look(store, "c0de", "192.0.2.7")
    keys = [key async for key in store.redis.scan_iter(count=1_000)]
    assert [key for key in keys if "guesses" in key]
    assert not [key for key in keys if "192.0.2.7" in key or "c0de" in key]
