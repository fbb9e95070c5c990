"""The store can't write its disk, a script runs away, a queue is huge (rows F26 and F27)."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis

from kit.eventually import eventually
from kit.redis_servers import valkey_server
from kit.rig import rig
from kit.state import assign, begin, finish, join, want
from kit.store_process import StoreProcess, store_process
from lingua_state import dispatch, sweep
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.models import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kit.crowd import Crowd
    from kit.rig import Rig
    from lingua_state.models import Assigned

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]

RECOVERED_S = 5.0
MARGIN_S = 5.0
WAITING = 100_000
#: One script at a time: longer than this, everybody would feel it.
SCRIPT_P99_MS = 5.0
_CALLERS = 64
_ROUNDS = 2_000
_LEASE_MS = 3_600_000
_ERRORS = "lingua_store_errors_total"


def all_unready(system: Rig) -> bool:
    return all(scheduler.ask("/health/ready")[0] == 503 for scheduler in system.schedulers)


async def recovered(system: Rig, talking: Crowd) -> float:
    began_s, heard = time.monotonic(), talking.answered
    await eventually(lambda: talking.answered > heard + 3, within_s=60, what="answers come again")
    system.figures["recovered_s"] = round(time.monotonic() - began_s, 2)
    return time.monotonic() - began_s


@contextmanager
def store_that_survives_a_full_disk(directory: Path) -> Iterator[StoreProcess]:
    """Run a store that is told of a file that is too large by an error, not by a signal that ends it."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "valkey-server"
    program.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {valkey_server()} \"$@\"\n")
    program.chmod(0o755)
    with store_process(directory / "data", program=program) as store:
        yield store


@pytest.mark.row("F26")
async def test_the_store_can_not_write_its_disk(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    with store_that_survives_a_full_disk(tmp_path / "store") as store:
        async with rig(tmp_path, seed, store=store) as system:
            async with system.people() as talking:
                pid, full = store.server.process.pid, (1, resource.RLIM_INFINITY)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, full)
                await system.until(lambda: all_unready(system), within_s=30, what="no scheduler says that it is ready")
                with pytest.raises(redis.ResponseError, match="MISCONF"):
                    store.command("SET", "x", "y")
                assert all(scheduler.ask("/health/live")[0] == 200 for scheduler in system.schedulers)
                assert system.metric(_ERRORS, code="store_refused") > 0
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                assert await recovered(system, talking) <= RECOVERED_S + MARGIN_S
            # What is refused at once is told as a failure: whose audio is still held says it again by itself.
            await system.settle(talking)
            await system.until(
                lambda: all(one.is_ready() for one in system.schedulers), within_s=30, what="all are ready again"
            )
            figures |= system.figures


@pytest.mark.row("F27")
async def test_a_script_that_runs_away_is_told_as_overload(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            endless = threading.Thread(target=_run_away, args=(system.store,))
            endless.start()
            try:
                await system.until(
                    lambda: system.metric(_ERRORS, code="store_refused") > 0, within_s=60, what="BUSY was told"
                )
                with system.store.client() as admin, pytest.raises(redis.RedisError, match=r"(?i)busy"):
                    admin.get("x")
                told = await asyncio.to_thread(_told, system)
                assert all_unready(system)
            finally:
                system.store.command("SCRIPT", "KILL")
                endless.join()
            assert await recovered(system, talking) <= RECOVERED_S + MARGIN_S
        await system.settle(talking)
        assert told == (503, "STORE_UNAVAILABLE")
        figures |= system.figures


def _run_away(store: StoreProcess) -> None:
    with store.client() as client, pytest.raises(redis.RedisError):
        client.execute_command("EVAL", "while true do end", 0)


def _told(system: Rig) -> tuple[int, str]:
    status, body = system.schedulers[0].ask("/api/v1/nodes")
    return status, str(body.get("code", ""))


@pytest.mark.row("F27")
@pytest.mark.alone
async def test_no_script_is_slow_behind_100_000_jobs_that_wait(tmp_path: Path, figures: dict[str, Any]) -> None:
    with store_process(tmp_path / "store") as process:
        store = await open_store(RedisSettings(url=process.url, timeout_ms=30_000))
        try:
            first, waiting = await _fill(store)
            process.command("CONFIG", "RESETSTAT")
            await _work(store, first)
            told = process.command("INFO", "latencystats")
        finally:
            await store.close()
    usec = told["latency_percentiles_usec_evalsha"]
    assert waiting == WAITING
    assert float(usec["p99"]) / 1000 <= SCRIPT_P99_MS
    figures |= {"waiting": waiting, "p50_ms": round(usec["p50"] / 1000, 2), "p99_ms": round(usec["p99"] / 1000, 2)}


async def _fill(store: Store) -> tuple[Assigned, int]:
    await join(store, "n0", capacity=1, lease_ms=_LEASE_MS)
    sessions = [await begin(store) for _ in range(100)]
    first = await assign(store)
    numbers = iter(range(WAITING))
    waiting = 0

    async def caller() -> None:
        nonlocal waiting
        for number in numbers:
            request = want(session_id=sessions[number % 100], wait_ms=1_800_000, queue_limit=2 * WAITING)
            answer = await dispatch.dispatch(store, request)
            waiting += isinstance(answer, Waiting)

    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return first, waiting


async def _work(store: Store, job: Assigned) -> None:
    """Finish jobs, which hands the node to the next that waits; let as many come; sweep now and then."""
    session_id = await begin(store)
    for number in range(_ROUNDS):
        (job,) = (await finish(store, job)).assigned
        if number % 50 == 0:
            await sweep.sweep(store)
        await dispatch.dispatch(store, want(session_id=session_id, wait_ms=1_800_000, queue_limit=2 * WAITING))
