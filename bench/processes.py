"""The processes a measurement runs against: a store, a scheduler, the bare echo. Each is ended by its pid."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from lingua_state import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
#: The measured server has a core to itself; the load, and the store where there are only two cores, take the other.
SERVER_CORE = 0
LOAD_CORE = 1


@contextmanager
def store(directory: Path) -> Iterator[str]:
    """Run a Valkey without persistence; give its URL."""
    server = embedded.start(directory, options=("--appendonly", "no", "--save", ""))
    try:
        yield server.url
    finally:
        server.stop()


@contextmanager
def scheduler(store_url: str, **settings: str) -> Iterator[tuple[psutil.Process, str]]:
    """Run one scheduler; give its process and its HTTP address."""
    port = embedded.free_port()
    environment = {
        **os.environ,
        "LINGUA_REDIS_URL": store_url,
        "LINGUA_HOST": "127.0.0.1",
        "LINGUA_PORT": str(port),
        "LINGUA_LOG_LEVEL": "WARNING",
        **settings,
    }
    with _process([sys.executable, "-m", "lingua_scheduler"], environment) as process:
        url = f"http://127.0.0.1:{port}"
        _await_ready(process, url + "/health/ready")
        yield process, url


@contextmanager
def echo() -> Iterator[tuple[psutil.Process, str]]:
    """Run the bare server; give its process and its HTTP address."""
    port = embedded.free_port()
    with _process([sys.executable, str(HERE / "echo.py"), str(port)], dict(os.environ)) as process:
        url = f"http://127.0.0.1:{port}"
        _await_ready(process, url + "/")
        yield process, url


def cpu_s(process: psutil.Process) -> float:
    """Sum user and system time of a process, in seconds."""
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[psutil.Process]:
    process = subprocess.Popen(command, env=environment)
    try:
        watched = psutil.Process(process.pid)
        if len(os.sched_getaffinity(0) | {SERVER_CORE}) > 1:
            watched.cpu_affinity([SERVER_CORE])
        yield watched
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: psutil.Process, url: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.is_running():
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return
        except OSError:
            pass
        else:
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server did not become ready at {url}")
