"""What a scheduler adds: delay, sessions per core, memory, and the cost of base peers. Each beside a bare server."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import urllib.request
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import load
import orjson
import processes
import uvloop
from rows import Row, percentile, row

from lingua_wire import audio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import aiohttp
    import psutil

SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "speech" / "go-forward.wav"
DELAY_SESSIONS = (100, 200, 400)
UTTERANCES = 5
WARM_UP = 1
#: A run whose load fell so far behind its own schedule tells of the machine, not of the server; it is taken again.
LATE_MS = 20.0
TRIES = 4
IDLE_SESSIONS = 2000
BASE_SESSIONS = 100
BASE_IN_FLIGHT = 4
BASE_SECONDS = 10.0


@contextmanager
def _lingua(**settings: str) -> Iterator[tuple[psutil.Process, str]]:
    with (
        tempfile.TemporaryDirectory(prefix="lingua-bench-") as folder,
        processes.store(Path(folder)) as store_url,
        processes.scheduler(store_url, **settings) as served,
    ):
        yield served


def _speech() -> bytes:
    """Take two seconds of a real recording: made-up noise would be skipped as no speech."""
    return bytes(audio.parse_wav(SAMPLE.read_bytes()).pcm[: 20 * load.FRAME_BYTES])


def delays() -> list[Row]:
    """Measure ``scheduler_delay_p99_ms`` for each size, and ``sessions_per_core`` from the largest."""
    rows: list[Row] = []
    for sessions in DELAY_SESSIONS:
        ours, bare = _in_time(_lingua, sessions, bare=False), _in_time(processes.echo, sessions, bare=True)
        p99, bare_p99 = percentile(ours.delays_ms, 0.99), percentile(bare.delays_ms, 0.99)
        rows.append(row(f"scheduler_delay_p99_ms/{sessions}", p99, "ms", bare_p99, len(ours.delays_ms)))
        if sessions == DELAY_SESSIONS[-1]:
            rows.append(row("sessions_per_core", sessions / ours.cores, "sessions", sessions / bare.cores, sessions))
    return rows


def _in_time(
    serve: Callable[[], AbstractContextManager[tuple[psutil.Process, str]]], sessions: int, *, bare: bool
) -> _Streamed:
    """Stream until the load kept to its schedule: a machine that does other work too makes it late now and then.

    :raises RuntimeError: it was late each time, or the server refused.
    """
    tries = 0
    while True:
        tries += 1
        with serve() as (process, url):
            streamed = uvloop.run(_stream(process, url, sessions, bare=bare))
        if streamed.late_ms <= LATE_MS:
            return streamed
        late = f"the load fell {streamed.late_ms:.0f} ms behind its schedule with {sessions} sessions"
        if tries == TRIES:
            raise RuntimeError(f"{late}, each of {tries} times: they say nothing")
        print(f"taken again: {late}", file=sys.stderr)


class _Streamed:
    def __init__(self, tally: load.Tally, cores: float) -> None:
        if tally.problems:
            raise RuntimeError(f"the server refused: {tally.problems[0]}")
        self.late_ms = percentile(tally.lag_ms, 0.99)
        self.delays_ms = tally.delays_ms
        self.cores = cores


async def _stream(process: psutil.Process, url: str, sessions: int, *, bare: bool = False) -> _Streamed:
    speech = _speech()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(load.http())
        if bare:
            opened = [(await load.dial(client, url + "/frames"), "bare") for _ in range(sessions)]
            for socket, _ in opened:
                stack.push_async_callback(socket.close)
        else:
            members = [load.InstantNode(f"bench-{number}", base=False) for number in range(10)]
            await stack.enter_async_context(load.nodes(client, url, members))
            opened = await load.open_sessions(client, url, sessions, stack, base=False)
        await _speak_all(opened, speech, load.Tally(), WARM_UP)
        with load.uncollected():
            tally, started, before = load.Tally(), load.now_ms(), processes.cpu_s(process)
            await _speak_all(opened, speech, tally, UTTERANCES)
            cores = (processes.cpu_s(process) - before) * 1000 / (load.now_ms() - started)
    return _Streamed(tally, cores)


async def _speak_all(
    opened: list[tuple[aiohttp.ClientWebSocketResponse, str]], speech: bytes, tally: load.Tally, utterances: int
) -> None:
    """Let every session speak; they begin spread over one utterance, as people do."""
    utterance_ms = len(speech) / load.FRAME_BYTES * load.FRAME_MS
    first = load.now_ms() + 200
    listeners = [
        asyncio.create_task(load.listen(socket, str(place), tally)) for place, (socket, _) in enumerate(opened)
    ]
    await asyncio.gather(
        *(
            load.speak(
                socket,
                str(place),
                speech,
                tally,
                utterances=utterances,
                start_ms=first + utterance_ms * place / len(opened),
            )
            for place, (socket, _) in enumerate(opened)
        )
    )
    await _until(lambda: not tally.sent)
    for listener in listeners:
        listener.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)


def idle_memory() -> list[Row]:
    """Measure ``idle_session_bytes``: what one more session that says nothing costs."""
    with _lingua() as (process, url):
        ours = uvloop.run(_idle(process, url, "/ws/session"))
    with processes.echo() as (process, url):
        bare = uvloop.run(_idle(process, url, "/frames"))
    return [row("idle_session_bytes", ours, "bytes", bare, IDLE_SESSIONS)]


async def _idle(process: psutil.Process, url: str, path: str) -> float:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(load.http())
        await _open_idle(client, url, path, 200, stack)
        before = process.memory_info().rss
        await _open_idle(client, url, path, IDLE_SESSIONS, stack)
        return (process.memory_info().rss - before) / IDLE_SESSIONS


async def _open_idle(client: aiohttp.ClientSession, url: str, path: str, count: int, stack: AsyncExitStack) -> None:
    if path == "/ws/session":
        await load.open_sessions(client, url, count, stack, base=False)
        return
    for _ in range(count):
        stack.push_async_callback((await load.dial(client, url + path)).close)


def audio_after_ack() -> list[Row]:
    """Measure ``audio_after_ack_bytes`` while nodes hold acknowledged jobs; reference: what their audio weighs."""
    with _lingua() as (_, url):
        held, sent = uvloop.run(_hold(url))
    return [row("audio_after_ack_bytes", held, "bytes", sent, 50)]


async def _hold(url: str) -> tuple[float, float]:
    speech = _speech()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(load.http())
        node = load.InstantNode("bench-hold", base=False, hold=True)
        await stack.enter_async_context(load.nodes(client, url, [node]))
        opened = await load.open_sessions(client, url, 50, stack, base=False)
        first = load.now_ms()
        tally = load.Tally()
        await asyncio.gather(
            *(load.speak(socket, name, speech, tally, utterances=1, start_ms=first) for socket, name in opened)
        )
        await _until(lambda: node.jobs == len(opened))
        await asyncio.sleep(0.5)  # the last acknowledgements are on their way
        return metric(url, "lingua_audio_held_bytes"), float(len(speech) * len(opened))


async def _until(reached: Callable[[], bool]) -> None:
    """Look every 20 ms, for at most 15 s."""
    for _ in range(750):
        if reached():
            return
        await asyncio.sleep(0.02)
    raise RuntimeError("what was waited for did not come within 15 s")


def metric(url: str, name: str) -> float:
    """Read one metric without labels from ``/metrics``."""
    with urllib.request.urlopen(url + "/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise RuntimeError(f"the scheduler has no metric {name}")


def base_peers() -> list[Row]:
    """Measure ``base_results_per_s`` and ``base_cpu_s_per_1000`` in a closed loop, beside the echo of the same."""
    with _lingua() as (process, url):
        ours = uvloop.run(_base(process, url, bare=False))
    with processes.echo() as (process, url):
        bare = uvloop.run(_base(process, url, bare=True))
    count = int(ours[0] * BASE_SECONDS)
    return [
        row("base_results_per_s", ours[0], "results/s", bare[0], count),
        row("base_cpu_s_per_1000", ours[1], "s", bare[1], count),
    ]


async def _base(process: psutil.Process, url: str, *, bare: bool) -> tuple[float, float]:
    speech = audio.encode_base64(_speech()[:32_000])
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(load.http())
        if bare:
            opened = [(await load.dial(client, url + "/messages"), "bare") for _ in range(BASE_SESSIONS)]
            for socket, _ in opened:
                stack.push_async_callback(socket.close)
        else:
            members = [load.InstantNode(f"base-{number}", base=True, capacity=100) for number in range(20)]
            await stack.enter_async_context(load.nodes(client, url, members))
            opened = await load.open_sessions(client, url, BASE_SESSIONS, stack, base=True)
        counter = _Counter()
        end = load.now_ms() + (BASE_SECONDS + 2) * 1000
        tasks = [asyncio.create_task(_base_session(socket, name, speech, counter, end)) for socket, name in opened]
        await asyncio.sleep(2)
        results, cpu, started = counter.results, processes.cpu_s(process), load.now_ms()
        await asyncio.sleep(BASE_SECONDS)
        count = counter.results - results
        seconds = (load.now_ms() - started) / 1000
        spent = processes.cpu_s(process) - cpu
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [each for each in ended if isinstance(each, Exception)]
        if failed or not count:
            raise RuntimeError(f"a base session failed: {failed[:1]}")
    return count / seconds, spent / count * 1000


class _Counter:
    def __init__(self) -> None:
        self.results = 0


async def _base_session(
    socket: aiohttp.ClientWebSocketResponse, session_id: str, speech: str, counter: _Counter, end_ms: float
) -> None:
    index = 0

    def message() -> str:
        fields: dict[str, Any] = {
            "type": "utterance",
            "session_id": session_id,
            "utterance_index": index,
            "manual_cut": True,
            "src_lang": "en",
            "tgt_lang": "es",
            "audio": speech,
            "audio_format": "pcm16",
            "sample_rate": 16_000,
        }
        return orjson.dumps(fields).decode()

    for _ in range(BASE_IN_FLIGHT):
        await socket.send_str(message())
        index += 1
    while load.now_ms() < end_ms:
        answer = await socket.receive_str(timeout=30)
        if '"translation_result"' in answer[:60]:
            counter.results += 1
            await socket.send_str(message())
            index += 1
        elif '"error"' in answer[:40] or '"missing_result"' in answer[:60]:
            raise RuntimeError(answer[:200])
