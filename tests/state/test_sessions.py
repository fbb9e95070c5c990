from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from lingua_state import sessions
from lingua_state.errors import ForeignSession, SessionMissing, SessionReplaced, TokenRefused
from lingua_state.ids import new_session_id
from lingua_state.models import KeptEvent, Resumed, Told
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
    return "session_attach", keys, [session_id, "s1", "acme", "en", "es", "one_way", "t1", 60_000, op, after, "", ""]


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


# Resume

KEEP: dict[str, Any] = {"ttl_ms": 60_000, "limit": 8}


async def resume(store: Store, session_id: str, token: str, **changes: Any) -> Resumed:
    wanted: dict[str, Any] = {
        "instance_id": "s2",
        "tenant": "acme",
        "subject": "ann",
        "next_token": f"after {token}",
        "ttl_ms": 60_000,
    }
    return await sessions.resume(store, session_id=session_id, token=token, **(wanted | changes))


async def resumable(store: Store) -> str:
    session_id = new_session_id(store.cell)
    await attach(store, session_id, subject="ann", token="first")
    return session_id


async def test_the_holder_of_the_token_takes_the_session_over_and_the_older_connection_counts_no_more(
    store: Store,
) -> None:
    session_id = await resumable(store)
    taken = await resume(store, session_id, "first")
    assert (taken.generation, taken.instance_before, taken.events) == (2, "s1", ())
    record = await sessions.get(store, session_id)
    assert record is not None
    assert (record.instance_id, record.generation, record.source) == ("s2", 2, "en")
    assert not await sessions.touch(store, session_id, 1, 60_000)
    assert not await sessions.keep(store, session_id, 1, Told(1, 0, 0, 0), [], **KEEP)


async def test_a_token_serves_once_and_a_stolen_old_one_leaves_the_session_where_it_is(store: Store) -> None:
    session_id = await resumable(store)
    await resume(store, session_id, "first")
    for token in ("first", "", "guessed"):
        with pytest.raises(TokenRefused):
            await resume(store, session_id, token)
    record = await sessions.get(store, session_id)
    assert record is not None
    assert record.generation == 2
    assert (await resume(store, session_id, "after first")).generation == 3


async def test_a_session_without_a_token_is_resumed_by_nobody(store: Store) -> None:
    session_id = new_session_id(store.cell)
    await attach(store, session_id, subject="ann")
    with pytest.raises(TokenRefused):
        await resume(store, session_id, "")


async def test_a_token_serves_only_its_own_tenant_and_subject(store: Store) -> None:
    session_id = await resumable(store)
    for stranger in ({"tenant": "other"}, {"subject": "bob"}):
        with pytest.raises(ForeignSession):
            await resume(store, session_id, "first", **stranger)
    assert (await resume(store, session_id, "first")).generation == 2


async def test_a_session_that_is_gone_can_not_be_resumed(store: Store) -> None:
    session_id = await resumable(store)
    await sessions.close(store, session_id, 1)
    with pytest.raises(SessionMissing):
        await resume(store, session_id, "first")


async def test_a_repeated_resume_gets_its_first_answer_until_another_one_came(store: Store) -> None:
    session_id = await resumable(store)
    keys = [store.keys.session(session_id), store.keys.sessions(), store.keys.session_events(session_id)]

    async def call(op: str, token: str, next_token: str) -> list[Any]:
        args: list[str | int] = [session_id, "s2", "acme", "ann", token, next_token, 60_000, op, 0]
        return await store.scripts.run("session_resume", keys, args)

    first = await call("op1", "first", "second")
    assert first[:3] == ["ok", 2, "s1"]
    assert await call("op1", "first", "second") == first
    assert (await call("op2", "second", "third"))[:2] == ["ok", 3]
    assert await call("op1", "first", "second") == ["replaced", 3]


async def test_only_one_of_many_that_show_the_same_token_gets_the_session(store: Store) -> None:
    session_id = await resumable(store)
    answers = await asyncio.gather(*(resume(store, session_id, "first") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, Resumed) for answer in answers) == 1
    assert sum(isinstance(answer, TokenRefused) for answer in answers) == 19


async def test_events_are_kept_until_the_client_has_them_and_told_again_from_where_it_is(store: Store) -> None:
    session_id = await resumable(store)
    events = [KeptEvent(seq, f"entry {seq}") for seq in (2, 3, 5)]
    assert await sessions.keep(store, session_id, 1, Told(6, 0, 16_000, 2), events, **KEEP)
    assert await sessions.keep(store, session_id, 1, Told(6, 2, 16_000, 2), events, **KEEP), "again changes nothing"
    taken = await resume(store, session_id, "first", last_seq=3)
    assert (taken.seq, taken.consumed, taken.next_index, taken.events) == (6, 16_000, 2, (events[2],))
    assert await sessions.keep(store, session_id, 2, Told(7, 7, 32_000, 3), [KeptEvent(7, "last")], **KEEP)
    assert not await store.call("EXISTS", store.keys.session_events(session_id)), "the client has them all"


async def test_kept_events_are_bounded_in_number_and_in_time(store: Store) -> None:
    session_id = await resumable(store)
    events = [KeptEvent(seq, "entry") for seq in range(1, 21)]
    assert await sessions.keep(store, session_id, 1, Told(20, 0, 0, 0), events, **KEEP)
    key = store.keys.session_events(session_id)
    assert await store.call("XLEN", key) == 8
    assert 0 < await store.call("PTTL", key) <= 60_000


async def test_no_text_is_kept_where_that_is_off(store: Store) -> None:
    session_id = await resumable(store)
    assert await sessions.keep(store, session_id, 1, Told(1, 0, 16, 1), [KeptEvent(1, "entry")], ttl_ms=0, limit=8)
    assert not await store.call("EXISTS", store.keys.session_events(session_id))
    assert (await resume(store, session_id, "first")).consumed == 16
