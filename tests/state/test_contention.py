"""Many callers at once: no node gets more than it takes, and nobody waits while one is free."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kit.state import begin, finish, join, load_of, want
from lingua_state import dispatch, jobs
from lingua_state.client import RedisSettings, open_store
from lingua_state.models import Assigned, JobStatus, Waiting

if TYPE_CHECKING:
    from kit.redis_servers import Server
    from lingua_state.client import Store

NODES = 50
CAPACITY = 2
JOBS = 400
CALLERS = 64


async def test_64_callers_fill_50_nodes_exactly_and_every_job_is_done_once(server: Server) -> None:
    stores = [await open_store(RedisSettings(url=server.url, cell=server.cell)) for _ in range(2)]
    try:
        done = await work_off(stores)
    finally:
        for store in stores:
            await store.close()
    assert len(done) == len(set(done)) == JOBS


async def work_off(stores: list[Store]) -> list[str]:
    for number in range(NODES):
        await join(stores[0], f"n{number}", capacity=CAPACITY)
    session_ids = [await begin(stores[0]) for _ in range(20)]
    numbers = iter(range(JOBS))
    running: list[Assigned] = []
    waiting: list[Waiting] = []

    async def caller(store: Store) -> None:
        for number in numbers:
            request = want(session_id=session_ids[number % 20], wait_ms=60_000)
            answer = await dispatch.dispatch(store, request)
            (running if isinstance(answer, Assigned) else waiting).append(answer)  # type: ignore[arg-type]

    await asyncio.gather(*(caller(stores[number % 2]) for number in range(CALLERS)))
    assert len(running) == NODES * CAPACITY
    assert len(waiting) == JOBS - NODES * CAPACITY
    assert {await load_of(stores[0], f"n{number}") for number in range(NODES)} == {CAPACITY}

    done: list[str] = []

    async def finisher(store: Store) -> None:
        while running:
            job = running.pop()
            result = await finish(store, job)
            assert result.outcome == "ok"
            done.append(job.job_id)
            running.extend(result.assigned)
            assert await load_of(store, job.node_id) <= CAPACITY

    while running:
        await asyncio.gather(*(finisher(stores[number % 2]) for number in range(CALLERS)))
    assert {await load_of(stores[0], f"n{number}") for number in range(NODES)} == {0}
    assert (await jobs.counts(stores[0]))[JobStatus.COMPLETED] == JOBS
    return done
