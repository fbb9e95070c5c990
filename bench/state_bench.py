"""What shared state costs: server time of a whole dispatch, and how many a process gets done, beside the same as
separate commands.

The server's time is Redis's own count (INFO commandstats), so it holds no network and no Python. Bare EVALSHA, measured
between the rounds, is what any script costs before it does anything.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import load
import processes
import rows
import uvloop
from redis.asyncio import Redis

from lingua_state import dispatch, embedded, jobs, nodes, sessions
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.models import Assigned, Capability, DispatchRequest, JobStatus, NodeRegistration, Pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from rows import Row

SIZES = (10, 1_000, 10_000, 100_000)
LANGUAGES = ((2, 2), (50, 30))
#: Nodes whose capability differs in one pair: the asked pair is served by as many classes.
CLASSES = 4
CAPACITY = 8
IN_FLIGHT = 64
ROUNDS = 30
PAIRS = 40_000
SEPARATE_PAIRS = 4_000
ASKED = Pair("a0", "t0")
#: About what a scheduler keeps of a node for people to read: with it the record is stored as real ones are.
DOCUMENT = {"version": "bench", "platform": "linux", "hardware": {"cpu_cores": 8, "memory_gb": 32}, "services": ["asr"]}
BARE = "#!lua\nreturn 1"
#: A speaker's utterances follow each other: this many sessions speak in turn.
SESSIONS = 256
_numbers = count()


def measure() -> list[Row]:
    """Take every figure of this file."""
    sizes = [uvloop.run(dispatch_server_us(size, languages)) for languages in LANGUAGES for size in SIZES]
    return sizes + uvloop.run(dispatch_finish())


async def dispatch_server_us(size: int, languages: tuple[int, int]) -> Row:
    """Measure the server time of a whole dispatch, with ``size`` nodes of ``languages`` (heard, spoken).

    Each is the first of its session, so that a node must be chosen among all: that is the dearest one.
    """
    async with empty_store() as store:
        await fill(store, size, capabilities(*languages))
        session_ids = iter(await attach(store, ROUNDS * IN_FLIGHT))
        bare = await store.call("SCRIPT", "LOAD", BARE)
        key = store.keys.epoch()
        taken, bare_taken = [], []
        for _ in range(ROUNDS):
            await evalsha_us(store)
            assigned = await together(dispatch_one(store, next(session_ids)) for _ in range(IN_FLIGHT))
            taken.append(await evalsha_us(store))
            await together(finish_one(store, job) for job in assigned)
            await evalsha_us(store)
            await together(store.call("EVALSHA", bare, 1, key) for _ in range(IN_FLIGHT))
            bare_taken.append(await evalsha_us(store))
    name = f"dispatch_server_us/{size}x{languages[0]}x{languages[1]}"
    return rows.row(name, median(taken), "us", median(bare_taken), ROUNDS * IN_FLIGHT)


async def dispatch_finish() -> list[Row]:
    """Measure dispatch and finish from one process with 64 in flight, beside the same as separate commands."""
    async with empty_store() as store:
        await fill(store, 50, capabilities(2, 2))
        session_ids = await attach(store, SESSIONS)

        async def one(number: int) -> None:
            await finish_one(store, await dispatch_one(store, session_ids[number % SESSIONS]))

        await in_flight(one, PAIRS // 10)
        with load.uncollected():
            per_s, p99_ms = await in_flight(one, PAIRS)
        fullest = await fullest_in_a_rush(store, session_ids)
        async with Redis.from_url(store.settings.url, decode_responses=True) as client:
            separate = Separate(client, 50)
            await separate.prepare()
            base_per_s, base_p99_ms = await in_flight(separate.pair, SEPARATE_PAIRS)
    return [
        rows.row("dispatch_finish_per_s", per_s, "/s", base_per_s, PAIRS),
        rows.row("dispatch_finish_p99_ms", p99_ms, "ms", base_p99_ms, PAIRS),
        rows.row("dispatch_max_load_of_capacity", fullest, "", separate.peak / CAPACITY, PAIRS),
    ]


async def fullest_in_a_rush(store: Store, session_ids: list[str]) -> float:
    """Fill every slot there is from 64 callers at once; tell the load of the fullest node by its capacity."""
    numbers = iter(range(50 * CAPACITY))

    async def caller() -> list[Assigned]:
        return [await dispatch_one(store, session_ids[number % SESSIONS]) for number in numbers]

    taken = [job for some in await together(caller() for _ in range(IN_FLIGHT)) for job in some]
    loads = [int(await store.call("HGET", store.keys.node(job.node_id), "load")) for job in taken]
    await together(finish_one(store, job) for job in taken)
    return max(loads) / CAPACITY


class Separate:
    """Dispatch and finish as they are without scripts: read, choose here, write; each step a command of its own."""

    def __init__(self, client: Redis, size: int) -> None:
        self._redis = client
        self._nodes = [f"separate:{number}" for number in range(size)]
        self.peak = 0

    async def prepare(self) -> None:
        """Write the nodes."""
        for node in self._nodes:
            await self._redis.hset(node, mapping={"capacity": CAPACITY, "load": 0})
            await self._redis.zadd("separate:pool", {node: 0})

    async def pair(self, number: int) -> None:
        """Do one of each."""
        store, job = self._redis, f"separate:job:{number}"
        session = f"separate:session:{number % SESSIONS}"
        await store.hget(session, "node_id")
        node = str((await store.zrange("separate:pool", 0, 0))[0])
        await store.hmget(node, ["capacity", "load"])
        load = int(await store.hincrby(node, "load", 1))
        self.peak = max(self.peak, load)
        await store.zadd("separate:pool", {node: load / CAPACITY})
        await store.hset(job, mapping={"status": "assigned", "node_id": node, "attempt_id": 1})
        await store.expire(job, 3600)
        await store.zadd("separate:deadline", {job: time.time()})
        await store.hset(session, "node_id", node)
        await store.hget(job, "attempt_id")
        await store.hset(job, "status", "completed")
        await store.zrem("separate:deadline", job)
        load = int(await store.hincrby(node, "load", -1))
        await store.zadd("separate:pool", {node: load / CAPACITY})


@asynccontextmanager
async def empty_store() -> AsyncIterator[Store]:
    """Run a server on the core that measured servers have, and open it."""
    with tempfile.TemporaryDirectory() as directory:
        server = embedded.start(Path(directory), options=("--appendonly", "no"))
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(server.process.pid, {processes.SERVER_CORE})
        try:
            store = await open_store(RedisSettings(url=server.url))
            yield store
            await store.close()
        finally:
            server.stop()


def capabilities(heard: int, spoken: int) -> list[Capability]:
    """Make the classes: the same languages, but for one pair each that is not the asked one."""
    asr = tuple(f"a{number}" for number in range(heard))
    targets = tuple(f"t{number}" for number in range(spoken))
    others = [pair for pair in Capability(asr, targets).pairs() if pair != ASKED]
    return [Capability(asr, targets), *(Capability(asr, targets, (pair,)) for pair in others[: CLASSES - 1])]


async def fill(store: Store, size: int, classes: list[Capability]) -> None:
    """Register nodes, many at a time."""
    for start in range(0, size, 1_000):
        numbers = range(start, min(size, start + 1_000))
        await together(nodes.register(store, registration(number, classes)) for number in numbers)


def registration(number: int, classes: list[Capability]) -> NodeRegistration:
    """Make a node."""
    return NodeRegistration(
        f"node-{number}", "i1", "s1", classes[number % len(classes)], CAPACITY, lease_ms=3_600_000, slow_start_ms=0,
        document=DOCUMENT,
    )  # fmt: skip


async def attach(store: Store, total: int) -> list[str]:
    """Begin the sessions that ask."""
    ids = [f"session-{number:04d}" for number in range(total)]
    for start in range(0, total, IN_FLIGHT):
        await together(attach_one(store, session_id) for session_id in ids[start : start + IN_FLIGHT])
    return ids


async def attach_one(store: Store, session_id: str) -> int:
    """Begin a session."""
    return await sessions.attach(
        store, session_id=session_id, instance_id="s1", tenant="", source="a0", target="t0", mode="one_way",
        trace_id="bench", ttl_ms=3_600_000,
    )  # fmt: skip


async def dispatch_one(store: Store, session_id: str) -> Assigned:
    """Dispatch an utterance of a new turn; it must find a node at once."""
    number = next(_numbers)
    request = DispatchRequest(
        f"{number:032x}", session_id, "s1", ASKED, number, f"turn-{number}", audio_ms=2_300, trace_id=f"{number:032x}",
        finalize_reason="Silence", details={"pipeline": {"use_asr": True, "use_nmt": True, "use_tts": True}},
    )  # fmt: skip
    answer = await dispatch.dispatch(store, request)
    if isinstance(answer, Assigned):
        return answer
    raise RuntimeError(f"the bench found no node: {answer}")


async def finish_one(store: Store, job: Assigned) -> None:
    """Bring a job to its end."""
    done = await jobs.complete(
        store, job.job_id, job.attempt_id, job.node_id, job.incarnation, status=JobStatus.COMPLETED
    )
    if done.outcome != "ok":
        raise RuntimeError(f"the bench could not finish a job: {done.outcome}")


async def evalsha_us(store: Store) -> float:
    """Read the mean server time of the scripts since the last reading."""
    info = str(await store.call("INFO", "commandstats"))
    await store.call("CONFIG", "RESETSTAT")
    line = info.partition("cmdstat_evalsha:")[2].partition("\n")[0]
    return float(line.partition("usec_per_call=")[2].partition(",")[0] or 0)


async def together(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """Do all at once."""
    return await asyncio.gather(*calls)


async def in_flight(one: Callable[[int], Awaitable[None]], total: int) -> tuple[float, float]:
    """Do ``one`` that often with 64 in flight; give how many a second and the p99 in ms."""
    taken: list[float] = []
    numbers = iter(range(total))

    async def caller() -> None:
        for number in numbers:
            begun = time.perf_counter()
            await one(number)
            taken.append((time.perf_counter() - begun) * 1000)

    begun = time.perf_counter()
    await together(caller() for _ in range(IN_FLIGHT))
    return total / (time.perf_counter() - begun), rows.percentile(taken, 0.99)
