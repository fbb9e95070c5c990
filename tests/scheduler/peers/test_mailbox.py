"""Notices for an instance that can't be reached go through the store, and what can't be read harms nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.peers import ITEMS, Sides
from lingua_scheduler.carrier import Carrier
from lingua_scheduler.mailbox import Mailbox
from lingua_scheduler.metrics import Metrics
from lingua_state import notices
from lingua_state.models import EndedJob

if TYPE_CHECKING:
    import pytest

    from lingua_state.client import Store

NOTICES = ITEMS[-3:]


class Other(Carrier):
    """Keeps what it receives."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(instance_id)
        self.sides = Sides()
        self.receive = self.sides.receive  # type: ignore[method-assign]


async def test_what_is_left_for_an_instance_is_taken_there_once(store: Store) -> None:
    here, owner = Mailbox(store, Other("b"), Metrics()), Other("a")
    there = Mailbox(store, owner, Metrics())
    for notice in NOTICES:
        here.leave(notice)  # type: ignore[arg-type]  # the last three are notices
    await here.close()
    await there.take()
    await there.take()
    assert owner.sides.received == NOTICES
    await there.close()


async def test_a_notice_of_another_version_is_left_out(store: Store) -> None:
    owner, metrics = Other("a"), Metrics()
    mailbox = Mailbox(store, owner, metrics)
    newer = '{"kind": "ended", "job_id": "j", "session_id": "s", "owner": "a", "code": "X", "colour": "green"}'
    await notices.leave(store, "a", ["no json", '{"kind": "dance"}', '{"kind": "lost"}', newer])
    await mailbox.take()
    assert owner.sides.received == [EndedJob("j", "s", "a", "X")]
    assert metrics.peer_messages.of("received", "failed")._value.get() == 3


async def test_only_so_many_lie_there_and_not_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "LIMIT", 2)
    assert await notices.leave(store, "a", ["1", "2", "3"]) == 2
    assert 0 < int(await store.call("PTTL", store.keys.notices_for("a"))) <= notices.TTL_MS
    assert await notices.take(store, "a") == ["2", "3"]
