"""Schedulers as real processes on free ports, with their logs kept, against a real store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import redis

from kit import processes
from kit.eventually import eventually_sync
from kit.proof import marks
from kit.redis_servers import VALKEY, Server, start_server
from lingua_state.embedded import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RECORDED = Path(__file__).with_name("recorded_scheduler.py")
#: A safety on a busy machine, not an expectation.
_START_S = 120.0
_STOP_S = 40.0
#: No value of the store is larger: audio would be.
_VALUE_BYTES = 16 * 1024


@dataclass(slots=True)
class SchedulerProcess:
    """One running scheduler."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path
    gid: int | None = None

    def ask(self, path: str, method: str = "GET", body: object = None) -> tuple[int, Any]:
        """Return the status and the body (parsed if it is JSON) of one HTTP call."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, method=method, data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, told = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, told = error.code, error.read()
        try:
            return status, json.loads(told)
        except ValueError:
            return status, told.decode()

    def is_ready(self) -> bool:
        """Tell whether it says so itself; fail when it ended."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.ask("/health/ready")[0] == 200
        except OSError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """Sum the samples of a metric that have these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in str(self.ask("/metrics")[1]).splitlines() if line.startswith(name)]
        chosen = [line for line in lines if line[len(name)] in " {" and all(want in line for want in wanted)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in chosen)

    def lines(self) -> list[dict[str, Any]]:
        """Read what it logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    @property
    def port(self) -> int:
        """Tell where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def rss_bytes(self) -> int:
        """Read how much memory it has."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def pause(self) -> None:
        """Stop it where it is."""
        processes.pause(self.process.pid)

    def go_on(self) -> None:
        """Let a paused one go on."""
        processes.go_on(self.process.pid)

    def terminate(self) -> None:
        """Ask it to drain and stop."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Ask it to stop, wait, and return its exit code."""
        if self.process.poll() is None:
            self.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        try:
            return self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self) -> None:
        """Let it crash."""
        self.process.kill()
        self.process.wait()


@dataclass(slots=True)
class Cluster:
    """A store and the schedulers on it."""

    store: Server
    schedulers: list[SchedulerProcess]

    @property
    def urls(self) -> list[str]:
        """List the schedulers' addresses."""
        return [scheduler.url for scheduler in self.schedulers]

    def redis(self) -> redis.Redis:
        """Open a plain client, as redis-cli is one."""
        return redis.Redis(port=self.store.process.port, decode_responses=False)

    def assert_nothing_leaked(self, *secrets: str) -> None:
        """Look at every value of the store and at every line of every log."""
        wanted = (*marks(), *(secret.encode() for secret in secrets))
        assert_no_marks("the store", dump(self.redis()), wanted)
        for scheduler in self.schedulers:
            assert_clean_log(scheduler, wanted)


def start_scheduler(
    directory: Path, store_url: str, name: str, *, gid: object = None, before: object = (), history: object = None,
    **settings: object,
) -> SchedulerProcess:  # fmt: skip
    """Start one; ``settings`` are variables without their prefix, in lower case (``job_wait_ms``).

    :param gid: the group it runs in, by which a row can cut it off.
    :param before: words before its command: ``env``, ``prlimit`` and the like, which become it.
    :param history: where it notes its calls of scripts (kit.recorded_scheduler); None: it notes nothing.
    """
    assert gid is None or isinstance(gid, int)
    assert isinstance(before, tuple)
    assert history is None or isinstance(history, Path)
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LINGUA_")}
    wanted: dict[str, object] = {"redis_url": store_url, "host": "127.0.0.1", "port": port, "instance_id": name}
    environment |= {f"LINGUA_{key.upper()}": str(value) for key, value in (wanted | settings).items()}
    log = directory / f"{name}.log"
    command = [sys.executable, "-m", "lingua_scheduler"]
    if history is not None:
        command = [sys.executable, str(_RECORDED), str(history), name]
    with log.open("wb") as sink:
        process = subprocess.Popen([*before, *command], env=environment, stdout=sink, stderr=sink, group=gid)
    return SchedulerProcess(name, f"http://127.0.0.1:{port}", process, log, gid)


@contextmanager
def cluster(directory: Path, count: int = 2, **settings: object) -> Iterator[Cluster]:
    """Run a Valkey and ``count`` schedulers, all ready; none of them may have ended or failed when the block ends."""
    store = start_server(VALKEY, directory / "store")
    schedulers = [start_scheduler(directory, store.url, f"scheduler-{number}", **settings) for number in range(count)]
    try:
        for scheduler in schedulers:
            eventually_sync(scheduler.is_ready, within_s=_START_S, what=f"{scheduler.name} is ready")
        yield Cluster(store, schedulers)
    finally:
        for scheduler in schedulers:
            if scheduler.process.poll() is None:
                scheduler.terminate()
        codes = {scheduler.name: scheduler.wait() for scheduler in schedulers}
        store.process.stop()
    assert set(codes.values()) <= {0, -signal.SIGKILL}, codes
    for scheduler in schedulers:
        assert_clean_log(scheduler, marks())


def assert_clean_log(scheduler: SchedulerProcess, wanted: tuple[bytes, ...]) -> None:
    """Fail on speech, text or secrets in a log, on tracebacks, and on anything the program did not foresee."""
    raw = scheduler.log.read_bytes()
    assert_no_marks(f"the log of {scheduler.name}", [raw], wanted)
    assert b"Traceback" not in raw, raw.decode()
    faults = [line for line in scheduler.lines() if line["level"] in ("error", "critical") or "error" in line]
    assert not faults, faults[:3]


def assert_no_marks(place: str, values: list[bytes], wanted: tuple[bytes, ...]) -> None:
    """Fail when one of the values holds speech, text or a secret."""
    found = [(mark, value[:120]) for value in values for mark in wanted if mark in value]
    assert not found, f"{place} holds what it must not: {found[:3]}"


def dump(client: Any) -> list[bytes]:
    """Read every key and every value of a store; fail on one that is as large as audio would be."""
    with client:
        found = [part for key in client.scan_iter(count=1000) for part in (key, *_values(client, key))]
    large = [part[:80] for part in found if len(part) > _VALUE_BYTES]
    assert not large, large
    return found


def _values(client: Any, key: bytes) -> list[bytes]:
    read: dict[bytes, Callable[[], list[Any]]] = {
        b"string": lambda: [client.get(key)],
        b"hash": lambda: [part for pair in client.hgetall(key).items() for part in pair],
        b"set": lambda: list(client.smembers(key)),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"list": lambda: client.lrange(key, 0, -1),
        b"stream": lambda: [part for _, fields in client.xrange(key) for pair in fields.items() for part in pair],
    }
    kind = client.type(key)
    return [] if kind == b"none" else [part for part in read[kind]() if part is not None]
