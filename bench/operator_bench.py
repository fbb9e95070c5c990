"""What the operator costs with many TranslationNodes, on a real API server and a real store, no pods behind them.

The references are the goals of the design: 60 s to start, 1 s from a change to the pools, 30 s to repair an emptied
store. Writes while nothing changes must be none.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rows
from redis.asyncio import Redis

from lingua_state import declarations, embedded
from lingua_state.client import RedisSettings, Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from rows import Row

    from kit.kube.bed import Bed
    from kit.operators import Nodes, Process

#: The beds of the tests serve here too.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

SIZE = int(os.environ.get("LINGUA_BENCH_NODES", "5000"))
CHANGES = 100
GOALS_S = {"start": 60.0, "change": 1.0, "repair": 30.0}
_QUIET_S = 10.0
_CALM_S = 4.0
_PATIENCE_S = 900.0


def measure() -> list[Row]:
    """Take every figure of this file."""
    from kit.kube.bed import kubernetes

    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bed = stack.enter_context(kubernetes(directory / "kube"))
        server = embedded.start(directory / "store", options=("--appendonly", "no"))
        stack.callback(server.stop)
        return asyncio.run(_measure(bed, server.url, directory))


async def _measure(bed: Bed, url: str, directory: Path) -> list[Row]:
    from kit import operators

    namespace = bed.namespace("bench")
    values = operators.environment(bed.kubeconfig, namespace, url, "lingua") | {
        "LINGUA_OPERATOR_RESYNC_LIVE_MS": "2000",
        "LINGUA_OPERATOR_RESYNC_EVERY_MS": "30000",
    }
    nodes = operators.Nodes(bed.api, namespace)
    store = await open_store(RedisSettings(url=url))
    found: list[Row] = []
    try:
        with operators.process(values, directory / "log"):
            begun = time.monotonic()
            await asyncio.to_thread(_create, nodes)
            await _until_declared(store, SIZE)
            await _until_told(nodes)
            found.append(rows.row("operator_new_nodes_per_s", SIZE / (time.monotonic() - begun), "/s", 70, SIZE))
        with operators.process(values, directory / "log2") as second:
            begun = time.monotonic()
            await _until(lambda: "the operator works" in second.said())
            await _until_resumed(nodes)
            found.append(rows.row("operator_start_s", time.monotonic() - begun, "s", GOALS_S["start"], SIZE))
            found += await _in_service(bed, nodes, store, url)
            found.append(_memory(second))
    finally:
        await store.close()
    return found


async def _in_service(bed: Bed, nodes: Nodes, store: Store, url: str) -> list[Row]:
    await _until(lambda: _is_calm(url))
    before = len(bed.audit())
    calls = await _script_calls(url)
    await asyncio.sleep(_QUIET_S)
    spent = await _script_calls(url) - calls
    writes = [each for each in bed.audit()[before:] if each["verb"] in ("patch", "update", "create", "delete")]
    taken = sorted([await _change(nodes, store, number) for number in range(CHANGES)])
    async with Redis.from_url(url) as client:
        begun = time.monotonic()
        await client.flushall()
        await _until_declared(store, SIZE)
        repaired_s = time.monotonic() - begun
    return [
        rows.row("operator_idle_scripts_per_s", spent / _QUIET_S, "/s", 0.5, SIZE),
        rows.row("operator_idle_writes", len(writes), "", 0, SIZE),
        rows.row("operator_change_p99_s", rows.percentile(taken, 0.99), "s", GOALS_S["change"], CHANGES),
        rows.row("operator_repair_s", repaired_s, "s", GOALS_S["repair"], SIZE),
    ]


async def _script_calls(url: str) -> int:
    async with Redis.from_url(url) as client:
        told = await client.info("commandstats")
    return sum(int(found["calls"]) for name, found in told.items() if name.startswith("cmdstat_evalsha"))


async def _is_calm(url: str) -> bool:
    """Tell whether the first look at every resource is over."""
    before = await _script_calls(url)
    await asyncio.sleep(_CALM_S)
    return await _script_calls(url) - before < _CALM_S * 5


async def _change(nodes: Nodes, store: Store, number: int) -> float:
    """Change one resource and tell how long the store takes to hold it."""
    name, weight = f"n{number}", 500 + number
    begun = time.monotonic()
    await asyncio.to_thread(nodes.patch, name, {"spec": {"weight": weight}})
    while True:
        held = await declarations.get(store, f"{nodes.namespace}.{name}")
        if held is not None and held.weight == weight:
            return time.monotonic() - begun
        await asyncio.sleep(0.005)


def _create(nodes: Nodes) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: nodes.create(f"n{number}"), range(SIZE)))


async def _until_declared(store: Store, count: int) -> None:
    async def all_there() -> bool:
        return (await declarations.summary(store)).count == count

    await _until(all_there)


async def _until_told(nodes: Nodes) -> None:
    """Wait until every resource has its status."""
    await _until(lambda: asyncio.to_thread(_all_told, nodes), pause_s=2.0)


async def _until_resumed(nodes: Nodes) -> None:
    """Wait until a change of the last resource is followed: all before it were resumed."""
    body = {"spec": {"weight": int(time.monotonic()) % 400}}
    await asyncio.to_thread(nodes.patch, f"n{SIZE - 1}", body)

    def followed() -> bool:
        found = nodes.get(f"n{SIZE - 1}")
        return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

    await _until(lambda: asyncio.to_thread(followed))


def _all_told(nodes: Nodes) -> bool:
    where = f"/apis/lingua.dev/v1alpha1/namespaces/{nodes.namespace}/translationnodes"
    items = nodes.api.get(where).expect()["items"]
    return len(items) == SIZE and all(each.get("status", {}).get("observedGeneration") for each in items)


def _memory(process: Process) -> Row:
    assert process.process is not None
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    kilobytes = int(status.partition("VmRSS:")[2].split()[0])
    return rows.row("operator_memory_mb", kilobytes / 1024, "MB", 160, SIZE)


async def _until(probe: Callable[[], Any], pause_s: float = 0.05) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        answer = probe()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        await asyncio.sleep(pause_s)
    raise RuntimeError("the operator did not get there in time")
