"""The library goes on by itself after a loss: events say so, and each sentence is heard once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from kit import nodes
from kit.eventually import eventually
from kit.nodes import Node
from kit.proof import proof, utterance
from kit.proxy import proxy_to
from kit.schedulers import Cluster, cluster
from lingua_client import (
    Finalized,
    GoingAway,
    LinguaError,
    Reconnecting,
    RefusedError,
    Renewed,
    Result,
    Resumed,
    SessionSettings,
    connect,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from types import UnionType

    from kit.proxy import Proxy
    from lingua_client import Session

PAIR = ("en", "es")
CHUNK = 3_200


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path, 1, session_resume_ms=4_000, session_max_ms=3_600_000) as running:
        yield running


@asynccontextmanager
async def talking(url: str, **settings: Any) -> AsyncIterator[tuple[Session, Proxy]]:
    async with proxy_to(urlsplit(url).port or 0) as way:
        chosen = SessionSettings(vad_silence_ms=0, **settings)
        there = f"http://127.0.0.1:{way.port}"
        async with connect(there, source=PAIR[0], target=PAIR[1], settings=chosen) as session:
            yield session, way


async def say(session: Session, audio: bytes) -> None:
    for at in range(0, len(audio), CHUNK):
        await session.send(audio[at : at + CHUNK])
    await session.finalize()


async def until(session: Session, kind: type | UnionType, events: list[object]) -> Any:
    async for event in session:
        events.append(event)
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind} came: {events}")


def results(events: list[object]) -> list[str]:
    return [event.translation for event in events if isinstance(event, Result)]


async def test_a_lost_connection_is_told_and_what_was_said_is_heard_once(one: Cluster) -> None:
    first, second = utterance(), utterance(900)
    events: list[object] = []
    async with Node(one.urls[0], PAIR[:1], PAIR[1:], nodes.after(0.3)), talking(one.urls[0]) as (session, way):
        await say(session, first)
        await until(session, Finalized, events)
        await session.send(second[:9_600])
        way.cut()
        await session.send(second[9_600:])
        await session.finish()
        events += [event async for event in session]
    assert [type(event) for event in events if isinstance(event, Reconnecting | Resumed)] == [Reconnecting, Resumed]
    assert results(events) == [proof(session.session_id, 0, first), proof(session.session_id, 1, second)]


async def test_a_connection_may_be_lost_again_and_the_session_goes_on_each_time(one: Cluster) -> None:
    said: list[bytes] = []
    events: list[object] = []
    async with Node(one.urls[0], PAIR[:1], PAIR[1:]), talking(one.urls[0]) as (session, way):
        for _ in range(3):
            said.append(utterance())
            await say(session, said[-1])
            await until(session, Result, events)
            if len(said) < 3:
                way.cut()
                await until(session, Resumed | Renewed, events)
        await session.finish()
        events += [event async for event in session]
    assert [type(event) for event in events if isinstance(event, Reconnecting | Resumed)] == [
        Reconnecting, Resumed, Reconnecting, Resumed,
    ]  # fmt: skip
    assert results(events) == [proof(session.session_id, index, audio) for index, audio in enumerate(said)]


async def test_who_comes_too_late_goes_on_in_a_fresh_session_with_what_had_no_outcome(one: Cluster) -> None:
    heard, owed = utterance(), utterance(800)
    events: list[object] = []
    async with Node(one.urls[0], PAIR[:1], PAIR[1:]) as node, talking(one.urls[0]) as (session, way):
        await say(session, heard)
        await until(session, Result, events)
        before = session.session_id
        node.act = nodes.confirm
        await say(session, owed)
        await node.job(2)
        way.hole = True
        way.cut()
        with one.redis() as redis:
            record = f"scheduler:session:{before}"
            await eventually(lambda: not redis.exists(record), what="the service has given it up")
        node.act = nodes.answer
        way.hole = False
        way.cut()
        renewed = await until(session, Renewed, events)
        assert renewed.session_id == session.session_id != before
        await session.finish()
        events += [event async for event in session]
    assert results(events) == [proof(before, 0, heard), proof(session.session_id, 1, owed)]


async def test_a_client_without_patience_is_told_the_loss(one: Cluster) -> None:
    async def lose() -> None:
        async with talking(one.urls[0], resume_timeout_s=0) as (session, way):
            way.cut()
            await until(session, Result, [])

    async with Node(one.urls[0], PAIR[:1], PAIR[1:]):
        with pytest.raises(LinguaError):
            await lose()


async def test_a_session_moves_ahead_of_a_planned_close_without_a_gap(tmp_path: Path) -> None:
    with cluster(tmp_path, 1, session_max_ms=4_000, session_going_away_ms=2_000) as short:
        events: list[object] = []
        async with Node(short.urls[0], PAIR[:1], PAIR[1:]), talking(short.urls[0]) as (session, _):
            said = []
            while not any(isinstance(event, Resumed) for event in events):
                said.append(utterance())
                await say(session, said[-1])
                await until(session, Result, events)
            await session.finish()
            events += [event async for event in session]
        assert any(isinstance(event, GoingAway) and event.reason == "max_session" for event in events)
        assert not any(isinstance(event, Reconnecting) for event in events)
        assert results(events) == [proof(session.session_id, index, audio) for index, audio in enumerate(said)]


async def test_a_refusal_for_good_is_never_tried_again(tmp_path: Path) -> None:
    secret = "a secret of the tests, long enough for it"
    with cluster(tmp_path, 1, auth_secret=secret) as closed:
        async with proxy_to(urlsplit(closed.urls[0]).port or 0) as way:
            with pytest.raises(RefusedError, match="UNAUTHENTICATED"):
                async with connect(f"http://127.0.0.1:{way.port}", source="en", target="es"):
                    pass
            assert way.connections == 1
