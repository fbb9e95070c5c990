"""A machine runs out of something: descriptors, memory, disk for logs, processor time (row F40)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from kit.clients import Client
from kit.crowd import heard_again
from kit.eventually import eventually
from kit.proof import utterance
from kit.rig import PAIR, rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kit.rig import Rig
    from kit.schedulers import SchedulerProcess

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

RECOVERED_S = 5.0
#: What else may take time on a busy machine.
MARGIN_S = 5.0
_FOR_EVER = resource.RLIM_INFINITY
DESCRIPTORS = 256
#: More than there are descriptors.
_CROWD = 400
_MIB = 1024 * 1024
#: What a scheduler may grow by, and what of that may be audio.
_ROOM_BYTES, _AUDIO_BYTES = 64 * _MIB, 2 * _MIB
_NEIGHBOURS = 6
_BUSY_S = 15


def lost_nodes(system: Rig) -> list[str]:
    """List what schedulers logged of nodes that were lost."""
    lines = [line for scheduler in system.schedulers for line in scheduler.log.read_text().splitlines()]
    return [line for line in lines if "node lost" in line]


@contextmanager
def disk_full(schedulers: list[SchedulerProcess]) -> Iterator[None]:
    """Let no scheduler write another byte of its log."""
    for scheduler in schedulers:
        resource.prlimit(scheduler.process.pid, resource.RLIMIT_FSIZE, (1, _FOR_EVER))
    try:
        yield
    finally:
        for scheduler in schedulers:
            resource.prlimit(scheduler.process.pid, resource.RLIMIT_FSIZE, (_FOR_EVER, _FOR_EVER))


@pytest.mark.row("F40")
async def test_schedulers_that_can_not_write_their_logs_serve_everybody_and_tell_how_many_lines_are_missing(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed) as system:
        assert system.front is not None
        async with system.people() as talking:
            sizes = [scheduler.log.stat().st_size for scheduler in system.schedulers]
            with disk_full(system.schedulers):
                system.front.cut(1.0, system.source)
                await heard_again(talking, 16)
                assert [scheduler.log.stat().st_size for scheduler in system.schedulers] == sizes
                assert all(scheduler.is_ready() for scheduler in system.schedulers)
            system.front.cut(1.0, system.source)
            took_s = await heard_again(talking, 16)
            lost = await asyncio.to_thread(told_missing, system)
        await system.settle(talking)
        assert lost > 0
        assert took_s <= RECOVERED_S + MARGIN_S
        figures |= system.figures | {"lines_missing": lost, "recovered_s": round(took_s, 2)}


def told_missing(system: Rig) -> int:
    """Sum how many lines schedulers say are missing in their logs."""
    told = 0
    for scheduler in system.schedulers:
        for line in scheduler.log.read_text().splitlines():
            with contextlib.suppress(ValueError):  # what was cut in the middle
                told += json.loads(line).get("lost_lines", 0)
    return told


@contextmanager
def busy_neighbours(count: int, length_s: float) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run processes that only compute; each ends by itself after a while, whatever becomes of the test."""
    program = f"import time\nend = time.monotonic() + {length_s}\nwhile time.monotonic() < end: pass"
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(count)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.row("F40")
async def test_neighbours_that_take_all_of_the_processor_cost_no_lease_and_nobody_an_answer(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed) as system:
        async with system.people() as talking:
            with busy_neighbours(_NEIGHBOURS, 4 * _BUSY_S) as neighbours:
                await asyncio.sleep(_BUSY_S)
                heard = talking.answered
                used_s = sum(sum(psutil.Process(one.pid).cpu_times()[:2]) for one in neighbours)
            took_s = await heard_again(talking, 16)
        await system.settle(talking)
        assert used_s > 1
        assert heard > 0
        assert lost_nodes(system) == []
        assert took_s <= RECOVERED_S + MARGIN_S
        figures |= system.figures | {"neighbours": _NEIGHBOURS, "they_used_s": round(used_s, 1)}


@pytest.mark.row("F40")
async def test_a_scheduler_whose_memory_is_used_up_refuses_audio_and_goes_on(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, schedulers=1, audio_total_bytes=_AUDIO_BYTES) as system:
        tight = system.schedulers[0]
        room = psutil.Process(tight.process.pid).memory_info().vms + _ROOM_BYTES
        resource.prlimit(tight.process.pid, resource.RLIMIT_AS, (room, room))
        async with system.people(4) as talking:
            told = await flood(tight)
            refused = await asyncio.to_thread(tight.metric, "lingua_audio_refused_total", scope="instance")
            assert tight.is_ready()
            took_s = await heard_again(talking, 16)
        await system.settle(talking, lost=int(refused))
        assert refused > 0
        assert told == {"BUFFER_FULL"}
        assert lost_nodes(system) == []
        assert took_s <= RECOVERED_S + MARGIN_S
        figures |= system.figures | {"refused": int(refused), "recovered_s": round(took_s, 2)}


async def flood(scheduler: SchedulerProcess, sessions: int = 40) -> set[str]:
    """Let many begin to speak and never end; return the codes that they were told."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(scheduler.url)) for _ in range(sessions)]
        for client in clients:
            await client.open(*PAIR)
        audio = utterance(4_500)
        for at in range(0, len(audio), 3_200):
            for client in clients:
                with contextlib.suppress(ConnectionError):
                    await client.chunk(audio[at : at + 3_200])
        await eventually(lambda: [one for one in clients if one.all("error")], within_s=30, what="somebody is refused")
        return {event["code"] for client in clients for event in client.all("error")}


@pytest.mark.row("F40")
async def test_a_scheduler_without_descriptors_refuses_newcomers_and_keeps_whom_it_has(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, schedulers=1, nodes=0) as system:
        system.schedulers[0].terminate()
        tight = await system.add_scheduler(before=("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"))
        for number in range(3):
            await system.add_node(f"node-{number}")
        async with system.people(6) as talking:
            with many_connections(tight, _CROWD) as sockets:
                await system.until(
                    lambda: open_descriptors(tight) > DESCRIPTORS * 3 // 4, within_s=30, what="most are in use"
                )
                most = open_descriptors(tight)
                answers = await asyncio.to_thread(lambda: [first_words(one) for one in sockets])
                await heard_again(talking, 30)
            took_s = await heard_again(talking, 16)
            await system.until(lambda: open_descriptors(tight) < 100, within_s=30, what="they are free again")
        await system.settle(talking)
        refused = sum(b"503" in words for words in answers)
        assert refused > 0
        assert all(b"Retry-After" in words for words in answers if b"503" in words)
        assert most < DESCRIPTORS
        assert lost_nodes(system) == []
        assert talking.broken() == []
        figures |= system.figures | {"refused": refused, "open": most, "recovered_s": round(took_s, 2)}


def open_descriptors(scheduler: SchedulerProcess) -> int:
    return int(psutil.Process(scheduler.process.pid).num_fds())


@contextmanager
def many_connections(scheduler: SchedulerProcess, count: int) -> Iterator[list[socket.socket]]:
    """Open connections that say nothing."""
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(socket.create_connection(("127.0.0.1", scheduler.port), timeout=5))
            sockets[-1].settimeout(0.01)
        yield sockets
    finally:
        for one in sockets:
            one.close()


def first_words(one: socket.socket) -> bytes:
    """Read what a connection was told without a question; nothing if it was told nothing."""
    try:
        return one.recv(4_096)
    except OSError:
        return b""
