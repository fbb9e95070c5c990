from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from lingua_state import sessions
from lingua_state.errors import ForeignSession, SessionReplaced
from lingua_state.ids import new_session_id
from lingua_state.pages import BadCursor

if TYPE_CHECKING:
    from lingua_state.client import Store


async def attach(store: Store, session_id: str, **changes: Any) -> int:
    wanted: dict[str, Any] = {
        "instance_id": "s1",
        "tenant": "acme",
        "source": "en",
        "target": "es",
        "mode": "one_way",
        "trace_id": "t1",
        "ttl_ms": 60_000,
    }
    return await sessions.attach(store, session_id=session_id, **(wanted | changes))


def attach_call(store: Store, session_id: str, op: str, after: int = 0) -> tuple[str, list[str], list[Any]]:
    keys = [store.keys.session(session_id), store.keys.sessions()]
    return "session_attach", keys, [session_id, "s1", "acme", "en", "es", "one_way", "t1", 60_000, op, after]


async def test_an_attached_session_is_read_back(store: Store) -> None:
    session_id = new_session_id(store.cell)
    assert await attach(store, session_id) == 1
    record = await sessions.get(store, session_id)
    assert record is not None
    assert (record.instance_id, record.tenant, record.source, record.target) == ("s1", "acme", "en", "es")
    assert (record.generation, record.utterances, record.node_id, record.turn_id) == (1, 0, None, None)
    assert record.created_ms == record.touched_ms > 0
    assert await sessions.get(store, "nobody") is None


async def test_the_newest_attach_wins_and_an_older_one_changes_nothing(store: Store) -> None:
    session_id = new_session_id(store.cell)
    old = await attach(store, session_id)
    new = await attach(store, session_id, instance_id="s2")
    assert new > old
    assert not await sessions.touch(store, session_id, old, 60_000)
    assert not await sessions.update_languages(store, session_id, old, "de", "fr")
    assert not await sessions.close(store, session_id, old)
    record = await sessions.get(store, session_id)
    assert record is not None
    assert (record.instance_id, record.source, record.generation) == ("s2", "en", new)
    assert await sessions.update_languages(store, session_id, new, "de", "fr")
    assert await sessions.touch(store, session_id, new, 60_000)


async def test_an_attach_that_is_repeated_gets_its_first_answer(store: Store) -> None:
    session_id = new_session_id(store.cell)
    mine, other = attach_call(store, session_id, "mine"), attach_call(store, session_id, "other")
    assert await store.scripts.run(*mine) == ["ok", 1]
    assert await store.scripts.run(*mine) == ["ok", 1]
    assert await store.scripts.run(*other) == ["ok", 2]
    assert await store.scripts.run(*mine) == ["replaced", 2]
    assert await store.scripts.run(*other) == ["ok", 2]


async def test_a_replaced_attach_is_an_error_of_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = new_session_id(store.cell)
    monkeypatch.setattr("lingua_state.sessions.secrets.token_hex", lambda _: "mine")
    assert await attach(store, session_id) == 1
    await store.scripts.run(*attach_call(store, session_id, "other"))
    with pytest.raises(SessionReplaced):
        await attach(store, session_id)


async def test_a_session_of_another_tenant_is_refused_and_unchanged(store: Store) -> None:
    session_id = new_session_id(store.cell)
    await attach(store, session_id)
    before = await sessions.get(store, session_id)
    with pytest.raises(ForeignSession):
        await attach(store, session_id, tenant="evil")
    assert await sessions.get(store, session_id) == before


async def test_a_session_told_again_after_a_loss_outranks_its_past(store: Store) -> None:
    session_id = new_session_id(store.cell)
    held = [await attach(store, session_id) for _ in range(3)][-1]
    await store.call("FLUSHALL")
    assert await attach(store, session_id, after=held) == held + 1


async def test_a_close_leaves_nothing_of_the_session(store: Store) -> None:
    session_id = new_session_id(store.cell)
    generation = await attach(store, session_id)
    await store.call("XADD", store.keys.session_events(session_id), "*", "kind", "test")
    assert await sessions.close(store, session_id, generation)
    assert await store.call("DBSIZE") == 0
    assert not await sessions.close(store, session_id, generation)
    assert not await sessions.touch(store, session_id, generation, 60_000)
    assert await store.call("DBSIZE") == 0


async def test_a_session_lapses_without_a_touch_and_leaves_the_index(store: Store) -> None:
    lapsing, living = new_session_id(store.cell), new_session_id(store.cell)
    await attach(store, lapsing, ttl_ms=30)
    await eventually(lambda: _gone(store, lapsing))
    assert await sessions.count(store) == 0
    assert (await sessions.list_sessions(store)).items == ()
    await attach(store, living)
    assert await store.call("ZRANGE", store.keys.sessions(), 0, -1) == [living]


async def _gone(store: Store, session_id: str) -> bool:
    return await sessions.get(store, session_id) is None


async def test_every_session_comes_on_exactly_one_page(store: Store) -> None:
    wanted = {new_session_id(store.cell) for _ in range(57)}
    await asyncio.gather(*(attach(store, session_id) for session_id in wanted))
    seen: list[str] = []
    cursor = None
    while True:
        page = await sessions.list_sessions(store, 10, cursor)
        assert len(page.items) <= 10
        seen += [record.session_id for record in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(wanted)
    assert await sessions.count(store) == 57


async def test_the_page_goes_on_when_its_last_session_has_closed(store: Store) -> None:
    generations = {session_id: await attach(store, session_id) for session_id in [f"x{n}" for n in range(6)]}
    page = await sessions.list_sessions(store, 3)
    await sessions.close(store, page.items[-1].session_id, generations[page.items[-1].session_id])
    rest = await sessions.list_sessions(store, 10, page.cursor)
    seen = {record.session_id for record in (*page.items, *rest.items)}
    assert seen == set(generations)


@pytest.mark.parametrize("cursor", ["", "x", "1~", "~a", "1e9~a", "-1~a", "9" * 40 + "~a"])
async def test_a_cursor_that_no_page_gave_is_refused(valkey_store: Store, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await sessions.list_sessions(valkey_store, 10, cursor)


async def test_concurrent_attaches_get_different_generations(store: Store) -> None:
    session_id = new_session_id(store.cell)
    got = await asyncio.gather(*(attach(store, session_id, instance_id=f"s{n}") for n in range(20)))
    assert sorted(got) == list(range(1, 21))
    record = await sessions.get(store, session_id)
    assert record is not None
    assert record.instance_id == f"s{got.index(20)}"
