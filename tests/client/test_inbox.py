"""The way of events to the user: bounded, newest partial only, finals never lost."""

from __future__ import annotations

import asyncio

import pytest

from kit.eventually import PATIENCE_S
from lingua_client.errors import CannotReachError
from lingua_client.events import Closed, Missing, Partial
from lingua_client.inbox import Inbox


async def test_an_unread_partial_is_replaced_by_a_newer_one_of_its_utterance() -> None:
    inbox = Inbox()
    for text in ("a", "a b", "a b c"):
        await inbox.put(Partial(0, text))
    await inbox.put(Partial(1, "x"))
    assert await inbox.get() == Partial(0, "a b c")
    assert await inbox.get() == Partial(1, "x")


async def test_a_full_inbox_waits_for_its_reader_and_loses_nothing() -> None:
    inbox = Inbox(capacity=2)
    for index in range(2):
        await inbox.put(Missing(index, "r"))
    third = asyncio.create_task(inbox.put(Missing(2, "r")))
    await asyncio.sleep(0)
    assert not third.done()
    assert await inbox.get() == Missing(0, "r")
    await asyncio.wait_for(third, PATIENCE_S)
    assert [await inbox.get(), await inbox.get()] == [Missing(1, "r"), Missing(2, "r")]


async def test_the_last_event_comes_after_all_others_and_then_it_is_over() -> None:
    inbox = Inbox()
    await inbox.put(Missing(0, "r"))
    await inbox.end(Closed(1000))
    assert [await inbox.get(), await inbox.get(), await inbox.get()] == [Missing(0, "r"), Closed(1000), None]


async def test_an_error_is_raised_after_the_events_and_each_time_it_is_asked() -> None:
    inbox = Inbox()
    await inbox.put(Missing(0, "r"))
    await inbox.end(error=CannotReachError("CANNOT_REACH", "gone"))
    assert await inbox.get() == Missing(0, "r")
    for _ in range(2):
        with pytest.raises(CannotReachError):
            await inbox.get()
