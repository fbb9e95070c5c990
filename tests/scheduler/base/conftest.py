"""A real scheduler process on a real store, with short times, for peers that ask for no extension."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually_sync
from kit.redis_servers import VALKEY, start_server
from lingua_state.embedded import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Offers and silence end far sooner than base peers may notice; that is what the tests are about.
SETTINGS = {
    "LINGUA_JOB_OFFER_MS": "200",
    "LINGUA_JOB_WAIT_MS": "600",
    "LINGUA_JOB_TIMEOUT_MS": "4000",
    "LINGUA_JOB_SILENT_MS": "700",
    "LINGUA_SESSION_IDLE_WARN_MS": "400",
    "LINGUA_SESSION_IDLE_CLOSE_MS": "800",
}


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a scheduler; gives the address of its sockets."""
    directory = tmp_path_factory.mktemp("base")
    store = start_server(VALKEY, directory / "store")
    port = free_port()
    settings = {"LINGUA_HOST": "127.0.0.1", "LINGUA_PORT": str(port), "LINGUA_REDIS_URL": store.url} | SETTINGS
    with (directory / "scheduler.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lingua_scheduler"], env=os.environ | settings, stdout=log, stderr=log
        )
    try:
        eventually_sync(lambda: _ready(port) or process.poll() is not None, within_s=60, what="the scheduler is ready")
        assert process.poll() is None, (directory / "scheduler.log").read_text()
        yield f"ws://127.0.0.1:{port}"
        written = (directory / "scheduler.log").read_text()
        assert "Traceback" not in written, written
    finally:
        process.terminate()
        process.wait(timeout=30)
        store.process.stop()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
