"""What carries word between the parts is cut again and again while people talk (row F28)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from kit.eventually import eventually
from kit.proxy import Proxy, proxy_to
from kit.rig import rig
from lingua_state.embedded import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

EVERY_S = 0.2
ANSWERS = 150
#: A word that was lost is said again when its connection is back, and a job that nobody took is taken elsewhere, within
#: the hand-over time (3 s); another try of the same, and what else takes time on a busy machine.
WITHIN_S = 3.0 + 3.0 + 5.0


@contextlib.asynccontextmanager
async def again_and_again(cut: Callable[[], None]) -> AsyncIterator[None]:
    """Cut each 200 ms while the block runs."""

    async def go_on() -> None:
        while True:
            cut()
            await asyncio.sleep(EVERY_S)

    cutting = asyncio.create_task(go_on())
    try:
        yield
    finally:
        cutting.cancel()
        await asyncio.gather(cutting, return_exceptions=True)
    assert not cutting.done() or cutting.cancelled(), cutting.exception()


@pytest.mark.row("F28")
async def test_no_result_is_late_while_the_schedulers_connections_to_the_store_are_cut_all_the_time(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    killed = 0

    def kill() -> None:
        nonlocal killed
        killed += int(system.disk.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))

    async with rig(tmp_path, seed) as system:
        async with system.people() as talking, again_and_again(kill):
            await eventually(lambda: talking.answered >= ANSWERS, within_s=90, what=f"{ANSWERS} answers")
        await system.settle(talking)
        assert killed > 0
        assert talking.worst_wait_s() <= WITHIN_S
        figures |= system.figures | {"cut": killed}


@pytest.mark.row("F28")
async def test_no_result_is_late_while_the_ways_between_schedulers_are_cut_all_the_time(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        system = await stack.enter_async_context(rig(tmp_path, seed, schedulers=0, nodes=0))
        ways: list[Proxy] = []
        for _ in range(2):
            port = free_port()
            made = await system.add_scheduler(peer_address=f"http://127.0.0.1:{port}")
            ways.append(await stack.enter_async_context(proxy_to(urlsplit(made.url).port or 0, at=port)))
        for number in range(4):
            # Two nodes at each, so that half of all answers have to go from one to the other.
            await system.add_node(f"node-{number}", system.schedulers[number % 2].url)

        def cut() -> None:
            for way in ways:
                way.cut()

        async with system.people() as talking, again_and_again(cut):
            await eventually(lambda: talking.answered >= ANSWERS, within_s=90, what=f"{ANSWERS} answers")
        await system.settle(talking)
        assert sum(way.connections for way in ways) > 10, "they were cut and came back"
        assert talking.worst_wait_s() <= WITHIN_S
        figures |= system.figures | {"cut": sum(way.connections for way in ways)}
