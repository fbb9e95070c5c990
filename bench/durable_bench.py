"""durable_bench.py: what the durable profile costs a job: plain, with the barrier, with a WAIT for each call.

Starts a primary and a replica on the loopback, and takes turns: rounds of each way, the middle one is told. Prints a
table; exit code 0.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from redis.asyncio import Redis

from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.embedded import start
from lingua_state.loader import load

Call = Callable[[], Awaitable[object]]
ROUNDS = 3


async def measure(call: Call, callers: int, seconds: float) -> tuple[float, float, float]:
    """Let ``callers`` call for some time; return calls a second and p50 and p99 in milliseconds."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < end:
            await call()
            took.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(caller() for _ in range(callers)))
    ordered = statistics.quantiles(took, n=100)
    return len(took) / seconds, ordered[49], ordered[98]


def script(store: Store, *, surely: bool) -> Call:
    """Make the call of a small script, over the shared connection."""

    async def call() -> object:
        return await store.scripts.run("epoch", [store.keys.epoch()], ["x"], surely=surely)

    return call


def pooled(store: Store, plain: Redis) -> Call:
    """Make the same call with a WAIT of its own, over a connection of redis-py's pool: the way without a barrier."""
    sha, key = load("epoch").sha, store.keys.epoch()

    async def call() -> object:
        async with plain.pipeline(transaction=False) as both:
            both.execute_command("SET", key + ":own", "x")
            both.evalsha(sha, 1, key, "x")
            both.execute_command("WAIT", 1, 100)
            return await both.execute()

    return call


async def run(seconds: float) -> None:
    """Measure all ways and print them."""
    with tempfile.TemporaryDirectory() as directory:
        options = ("--repl-diskless-sync-delay", "0")
        primary = start(Path(directory, "primary"), options=options)
        replica = start(Path(directory, "replica"), options=(*options, "--replicaof", "127.0.0.1", str(primary.port)))
        try:
            await _compare(primary.url, seconds)
        finally:
            replica.stop()
            primary.stop()


async def _compare(url: str, seconds: float) -> None:
    store = await open_store(RedisSettings(url=url, profile="durable", fixed_address=True, cut_off_ms=60_000))
    plain = Redis.from_url(url, protocol=3)
    try:
        await store.scripts.run("epoch", [store.keys.epoch()], ["x"], surely=True)
        ways = {
            "plain": script(store, surely=False),
            "barrier": script(store, surely=True),
            "WAIT for each, pool": pooled(store, plain),
        }
        print("| way | callers | calls/s | p50 ms | p99 ms |\n| --- | --- | --- | --- | --- |")
        for callers in (1, 16, 64):
            rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, call in ways.items():
                    rounds[name].append(await measure(call, callers, seconds))
            for name, measured in rounds.items():
                rate, p50, p99 = sorted(measured)[len(measured) // 2]
                print(f"| {name} | {callers} | {rate:,.0f} | {p50:.2f} | {p99:.2f} |")
    finally:
        await plain.aclose()
        await store.close()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    asyncio.run(run(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
