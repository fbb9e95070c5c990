"""Run the operator for tests, in this process or as its own, beside a real API server and a real store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kit.eventually import eventually
from kit.kube.api import Api, Body, path
from kit.loops import SocketsLoop
from lingua_operator import settings as operator_settings
from lingua_operator.program import Operator
from lingua_state import declarations, dispatch, jobs, sessions
from lingua_state import nodes as live_nodes
from lingua_state.ids import new_job_id, new_session_id
from lingua_state.models import Assigned, Capability, DispatchRequest, JobStatus, NodeRegistration, Pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from lingua_operator.settings import OperatorSettings
    from lingua_state.client import Store

#: A safety on a busy machine, not an expectation.
SOON_S = 60.0
FAST = {
    "LINGUA_OPERATOR_HTTP_HOST": "127.0.0.1",
    "LINGUA_OPERATOR_HTTP_PORT": "0",
    "LINGUA_OPERATOR_RESYNC_LIVE_MS": "300",
    "LINGUA_OPERATOR_RESYNC_EVERY_MS": "1000",
}


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def environment(kubeconfig: Path, namespaces: str, redis_url: str, prefix: str, **more: str) -> dict[str, str]:
    """Write the variables of an operator that looks often."""
    return {
        **FAST,
        "KUBECONFIG": str(kubeconfig),
        "LINGUA_OPERATOR_NAMESPACES": namespaces,
        "LINGUA_REDIS_URL": redis_url,
        "LINGUA_REDIS_PREFIX": prefix,
        **more,
    }


class Thread:
    """An operator in this process, in a thread with a loop of its own: when kopf stops it cancels every task that its
    loop has, the test's too if they shared one."""

    def __init__(self, settings: OperatorSettings) -> None:
        self._settings = settings
        self._loop = SocketsLoop()
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self.operator: Operator | None = None
        self.error: BaseException | None = None

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end."""
        if self.operator is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended by itself
                self._loop.call_soon_threadsafe(self.operator.stop)

    @property
    def ready(self) -> bool:
        """It works, or stands by, or has failed."""
        return self.ended or (self.operator is not None and self.operator.health.ready)

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def works(self) -> bool:
        return self.operator is not None and self.operator.health.working

    async def _live(self, operator: Operator) -> None:
        try:
            await operator.run()
        finally:
            await self._loop.until_closed()

    def _run(self) -> None:
        self.operator = Operator(self._settings)
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._live(self.operator))
        except BaseException as error:  # the test that waits for it raises it
            self.error = error


@asynccontextmanager
async def running(values: Mapping[str, str]) -> AsyncIterator[Thread]:
    """Run an operator in this process until the end of the ``with``; a fault of it fails the test."""
    with variables(values):
        thread = Thread(operator_settings.load_settings())
        thread.start()
        await eventually(lambda: thread.ready, within_s=SOON_S, what="operator ready")
    try:
        yield thread
    finally:
        thread.stop()
        await eventually(lambda: thread.ended, within_s=SOON_S, what="operator stopped")
        if thread.error is not None:
            raise thread.error


@dataclass(slots=True)
class Process:
    """An operator as its own process."""

    values: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it; its log goes on in the same file."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lingua_operator"],
                env={**os.environ, **self.values, "LINGUA_OPERATOR_LOG_LEVEL": "INFO"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(SOON_S)

    @property
    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def said(self) -> str:
        """Read its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@contextmanager
def process(values: Mapping[str, str], log: Path) -> Iterator[Process]:
    """Run an operator as its own process; end it at the end of the ``with``."""
    made = Process(values, log)
    made.start()
    try:
        yield made
    finally:
        if not made.ended:
            made.end(signal.SIGKILL)


def tnode(name: str, **spec: Any) -> Body:
    """Write a TranslationNode."""
    languages = spec.pop("languages", {"asr": ["en"], "tts": ["es", "de"]})
    return {
        "apiVersion": "lingua.dev/v1alpha1",
        "kind": "TranslationNode",
        "metadata": {"name": name},
        "spec": {"languages": languages, **spec},
    }


class Nodes:
    """The TranslationNodes of one namespace, as a user sees them."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def create(self, name: str, **spec: Any) -> Body:
        """Create one."""
        return self.api.create(path("translationnodes", self.namespace), tnode(name, **spec)).expect()

    def get(self, name: str) -> Body:
        """Read one; empty: there is none."""
        answer = self.api.get(path("translationnodes", self.namespace, name))
        return answer.body if answer.ok else {}

    def patch(self, name: str, body: Body) -> Body:
        """Change one."""
        return self.api.patch(path("translationnodes", self.namespace, name), body).expect()

    def delete(self, name: str) -> None:
        """Ask for its deletion."""
        self.api.delete(path("translationnodes", self.namespace, name)).expect()

    def condition(self, name: str, kind: str) -> Body:
        """Read a condition; empty: it has none."""
        found = self.get(name).get("status", {}).get("conditions", [])
        return next((each for each in found if each["type"] == kind), {})

    async def until(self, name: str, kind: str, reason: str) -> Body:
        """Wait until a condition has a reason, and return it."""

        def has_it() -> Body | None:
            condition = self.condition(name, kind)
            assert condition.get("reason") == reason, condition
            return condition

        found: Body = await eventually(has_it, within_s=SOON_S, what=f"{name} {kind} {reason}")
        return found

    async def gone(self, name: str) -> None:
        """Wait until it is gone."""
        await eventually(lambda: not self.get(name), within_s=SOON_S, what=f"{name} gone")

    async def told(self, name: str, *reasons: str) -> None:
        """Wait until events beside one have these reasons; they are posted after the status."""
        await eventually(lambda: set(reasons) <= set(self.events(name)), within_s=SOON_S, what=f"{name} told {reasons}")

    def events(self, name: str) -> list[str]:
        """List the reasons of the events beside one."""
        found = self.api.get(path("events", self.namespace, group="v1")).expect()["items"]
        return [each["reason"] for each in found if each["involvedObject"]["name"] == name]


async def connect(store: Store, node_id: str, incarnation: str = "i1", capacity: int = 4) -> None:
    """Let a process of a node in, as a scheduler does."""
    await live_nodes.register(
        store,
        NodeRegistration(
            node_id, incarnation, "s1", Capability(("en",), ("de", "es")), capacity, lease_ms=600_000,
            declaration=await declarations.get(store, node_id), slow_start_ms=0,
        ),
    )  # fmt: skip


async def give_work(store: Store, node_id: str) -> Assigned:
    """Give a node, the only one of en:es, a job."""
    session_id, job_id = new_session_id(), new_job_id()
    await sessions.attach(
        store, session_id=session_id, instance_id="s1", tenant="", source="en", target="es", mode="one_way",
        trace_id="test", ttl_ms=600_000,
    )  # fmt: skip
    request = DispatchRequest(job_id, session_id, "s1", Pair("en", "es"), 1, "turn-1", timeout_ms=600_000)
    given = await dispatch.dispatch(store, request)
    assert isinstance(given, Assigned), given
    assert given.node_id == node_id
    return given


async def finish(store: Store, job: Assigned) -> None:
    """Let a node bring its job to an end."""
    done = await jobs.complete(
        store, job.job_id, job.attempt_id, job.node_id, job.incarnation, status=JobStatus.COMPLETED
    )
    assert done.outcome == "ok", done
