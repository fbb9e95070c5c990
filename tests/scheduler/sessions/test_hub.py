"""The records of an instance's sessions in the store: written again where they are gone, and not left behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis

from kit.eventually import eventually
from kit.proxy import proxy_to
from kit.redis_servers import VALKEY, start_server
from lingua_scheduler.auth import Identity
from lingua_scheduler.scheduler import Scheduler
from lingua_scheduler.sessions.opening import make_session
from lingua_scheduler.sessions.terms import terms_of
from lingua_scheduler.settings import SchedulerSettings
from lingua_state.client import RedisSettings, open_store
from lingua_state.epoch import ensure_epoch
from lingua_state.keys import Keys
from lingua_wire.session_messages import SessionInit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.proxy import Proxy
    from lingua_scheduler.sessions.session import Session

INIT = SessionInit.model_validate({"client_version": "1", "platform": "web", "src_lang": "en", "tgt_lang": "es"})


@pytest.fixture
async def way(tmp_path: Path) -> AsyncIterator[Proxy]:
    server = start_server(VALKEY, tmp_path)
    async with proxy_to(server.process.port) as proxy:
        yield proxy
    server.process.stop()


@pytest.fixture
async def scheduler(way: Proxy) -> AsyncIterator[Scheduler]:
    store = await open_store(RedisSettings(url=f"redis://127.0.0.1:{way.port}/0"))
    made = Scheduler(SchedulerSettings(), store, await ensure_epoch(store))
    yield made
    await made.sessions.stop()
    await store.close()


async def opened(scheduler: Scheduler) -> Session:
    terms = terms_of(INIT, Identity(), scheduler.settings)
    session = make_session(scheduler, "session-1", await scheduler.sessions.attach("session-1", terms), terms)
    scheduler.sessions.add(session)
    return session


def generation(way: Proxy) -> object:
    """Read it past the proxy."""
    with redis.Redis(port=way.target[1]) as client:
        return client.hget(Keys().session("session-1"), "generation")


async def test_a_record_that_is_gone_is_written_again_in_a_later_generation(scheduler: Scheduler, way: Proxy) -> None:
    session = await opened(scheduler)
    await scheduler.store.call("DEL", scheduler.store.keys.session("session-1"))
    await scheduler.sessions.renew_once()
    assert (generation(way), session.generation) == (b"2", 2)


async def test_renewals_at_once_of_a_session_whose_record_is_gone_take_nobody_for_a_later_connection(
    scheduler: Scheduler, way: Proxy
) -> None:
    session = await opened(scheduler)
    await scheduler.store.call("DEL", scheduler.store.keys.session("session-1"))
    await asyncio.gather(*(scheduler.sessions.renew_once() for _ in range(5)))
    assert scheduler.sessions.find("session-1") is session
    assert (generation(way), session.generation) == (b"2", 2)


async def test_a_session_that_ends_while_its_record_is_written_again_leaves_none(
    scheduler: Scheduler, way: Proxy
) -> None:
    session = await opened(scheduler)
    session.unknown = True  # it was resumed here while the store was away
    way.delay_s = 1.0
    renewing = asyncio.create_task(scheduler.sessions.renew_once())
    await eventually(lambda: generation(way) == b"2", what="the record is written again")
    way.delay_s = 0.0  # for what is asked from now on: its answer is still on the way
    await asyncio.gather(scheduler.sessions.remove(session), renewing)
    assert generation(way) is None
