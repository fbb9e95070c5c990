"""The life of a node at its scheduler: connect, register, beat, work, drain; connect again when the line is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp

from lingua_node import capability
from lingua_node.assembly import Assembly
from lingua_node.backoff import Backoff
from lingua_node.desk import JobDesk
from lingua_node.engines.base import EngineError
from lingua_node.link import Link
from lingua_node.pipeline import Engines, JobPipeline
from lingua_node.resources import ResourceMeter
from lingua_node.results import Desk, Parcel
from lingua_wire import limits
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.frames import Frame
from lingua_wire.ids import is_id
from lingua_wire.node_messages import (
    JobAssign,
    JobCancel,
    NodeCommand,
    NodeControl,
    NodeError,
    NodeRegisterAck,
    NodeWireStatus,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from lingua_node.settings import NodeSettings
    from lingua_wire.fields import Message

log = logging.getLogger(__name__)

BASE_HEARTBEAT_MS = 15_000
_ACK_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 10.0
_PING_S = 20.0
_MAX_MESSAGE_BYTES = 2 * limits.NODE_FRAME_BYTES


class NodeAgent:
    """Serve one scheduler with one set of engines, which are started already."""

    def __init__(
        self,
        settings: NodeSettings,
        engines: Engines,
        rebuild: Callable[[], Awaitable[Engines]] | None = None,
    ) -> None:
        """Take what the node works with.

        :param rebuild: makes and starts engines anew for ``reload_config``; none: that command is refused.
        """
        self._settings = settings
        self._rebuild = rebuild
        self._capability = capability.capability_of(engines)
        self._desk = JobDesk(JobPipeline(engines), settings.max_jobs)
        self._meter = ResourceMeter()
        self._node_id = settings.node_id or _kept_node_id(settings.data_dir)
        self._assembly = Assembly()
        self._backoff = Backoff(settings.reconnect_max_s)
        self._closing = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._heartbeat_s = BASE_HEARTBEAT_MS / 1000
        self._background: set[asyncio.Task[None]] = set()

    @property
    def node_id(self) -> str | None:
        """Name the node; None until a scheduler has named it."""
        return self._node_id

    @property
    def running_jobs(self) -> tuple[str, ...]:
        """Name the jobs at work."""
        return self._desk.running

    async def run(self) -> None:
        """Serve until :meth:`drain_and_stop` is done; lost connections are made again."""
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as http:
                while not self._closing.is_set():
                    await self._connect_once(http)
                    await self._pause()
        finally:
            await self._desk.stop()
            for task in self._background:
                task.cancel()
            await self.engines.close()

    @property
    def engines(self) -> Engines:
        """Give the engines in use."""
        return self._desk.pipeline.engines

    async def drain_and_stop(self) -> None:
        """Take no more jobs, finish those at work within the deadline of the settings, then end :meth:`run`."""
        self.drain()
        log.info("draining", extra={"count": len(self._desk.running)})
        if not await self._desk.wait_idle(self._settings.drain_s):
            log.warning("jobs were given up at the drain deadline", extra={"count": len(self._desk.running)})
        self._closing.set()

    def drain(self) -> None:
        """Take no more jobs and say so at once."""
        self._desk.draining = True
        self._beat_now.set()

    async def _pause(self) -> None:
        if self._closing.is_set():
            return
        wait_s = self._backoff.next_s()
        log.info("not connected; trying again", extra={"wait_ms": round(wait_s * 1000)})
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._closing.wait()

    async def _connect_once(self, http: aiohttp.ClientSession) -> None:
        try:
            headers = await asyncio.to_thread(self._headers)
            socket = await http.ws_connect(
                self._settings.url, heartbeat=_PING_S, max_msg_size=_MAX_MESSAGE_BYTES, headers=headers
            )
        except aiohttp.WSServerHandshakeError as error:
            log.error("the scheduler refused the node", extra={"status": error.status})  # noqa: TRY400 - no traceback
            return
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("the scheduler can't be reached: %s", type(error).__name__)
            return
        link = Link(socket)
        try:
            await self._serve(link)
        except (OSError, TimeoutError) as error:
            log.warning("the connection broke: %s", type(error).__name__)
        finally:
            self._desk.detach()
            self._assembly.clear()
            await link.close()
            log.info("the connection is closed", extra={"code": link.close_code})

    def _headers(self) -> dict[str, str]:
        """Show the token, that of the file first. :raises OSError: the file can't be read."""
        token, file = self._settings.token, self._settings.token_file
        shown = file.read_text().strip() if file else token.get_secret_value() if token else ""
        return {"Authorization": f"Bearer {shown}"} if shown else {}

    async def _serve(self, link: Link) -> None:
        """Register, then read and beat until either ends or the node is to close."""
        await self._register(link)
        async with asyncio.timeout(_ACK_TIMEOUT_S):
            if not await self._read_until_ack(link):
                return
        duties = [self._read(link), self._beat(link), self._closing_wait()]
        tasks = [asyncio.create_task(duty) for duty in duties]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _closing_wait(self) -> None:
        await self._closing.wait()

    async def _register(self, link: Link) -> None:
        message = capability.register_message(
            self._capability,
            self._settings,
            self._meter.hardware(),
            node_id=self._node_id,
            running=self._desk.running,
        )
        await link.send(Parcel(message))

    async def _read_until_ack(self, link: Link) -> bool:
        while (message := await link.receive()) is not None:
            if isinstance(message, NodeRegisterAck):
                await self._registered(link, message)
                return True
        return False

    async def _registered(self, link: Link, ack: NodeRegisterAck) -> None:
        self._backoff.reset()
        self._node_id = ack.node_id
        _keep_node_id(self._settings.data_dir, ack.node_id)
        self._heartbeat_s = (ack.heartbeat_ms or BASE_HEARTBEAT_MS) / 1000
        self._beat_now.set()
        log.info("registered", extra={"node_id": ack.node_id, "status": ack.status.value})
        await self._desk.attach(link, Desk(ack.node_id, frozenset(ack.extensions or ())))

    async def _read(self, link: Link) -> None:
        while (message := await link.receive()) is not None:
            try:
                await self._handle(link, message)
            except WireError as error:
                log.warning("a message of the scheduler was refused", extra={"code": error.code})
                await self._report(link, error.code, error.message)

    async def _handle(self, link: Link, message: Message | Frame) -> None:
        match message:
            case JobAssign():
                await self._assigned(message)
            case Frame():
                await self._take(self._assembly.frame(message))
            case JobCancel():
                if not self._assembly.drop(message.job_id):
                    self._desk.cancel(message)
            case NodeControl():
                await self._obey(link, message.command)
            case NodeRegisterAck():
                await self._registered(link, message)
                if message.status is NodeWireStatus.OFFLINE:
                    await self._register(link)
            case _:
                log.warning("a message of the scheduler has no meaning for a node")

    async def _assigned(self, job: JobAssign) -> None:
        try:
            ready = self._assembly.job(job)
        except WireError as error:
            await self._desk.refuse(job, EngineError(error.code, error.message))
        else:
            await self._take(ready)

    async def _take(self, ready: tuple[JobAssign, bytes] | None) -> None:
        if ready is not None:
            await self._desk.take(*ready)

    async def _obey(self, link: Link, command: NodeCommand) -> None:
        log.info("the scheduler commands: %s", command.value)
        match command:
            case NodeCommand.DRAIN:
                self.drain()
            case NodeCommand.SHUTDOWN:
                self._spawn(self.drain_and_stop())
            case NodeCommand.RELOAD_CONFIG:
                self._spawn(self._reload(link))
            case NodeCommand.REGISTER:
                await self._register(link)

    async def _reload(self, link: Link) -> None:
        """Build the engines anew and change over; jobs at work end on the old ones."""
        if self._rebuild is None:
            await self._report(link, ErrorCode.UNSUPPORTED_FEATURE, "this node can't reload its settings")
            return
        try:
            engines = await self._rebuild()
        except EngineError as error:
            await self._report(link, error.code, error.message)
            return
        old, tasks = self.engines, list(self._desk.tasks())
        self._desk.pipeline = JobPipeline(engines)
        self._capability = capability.capability_of(engines)
        await self._register(link)
        if tasks:
            await asyncio.wait(tasks)
        await old.close()

    async def _report(self, link: Link, code: ErrorCode, message: str) -> None:
        await link.send(Parcel(NodeError(node_id=self._node_id or "unnamed", code=code, message=message[:1000])))

    async def _beat(self, link: Link) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat_s):
                    await self._beat_now.wait()
            self._beat_now.clear()
            message = capability.heartbeat_message(
                self._capability,
                self._meter.usage(len(self._desk.running)),
                node_id=self._node_id or "unnamed",
                now_ms=time.time_ns() // 1_000_000,
                draining=self._desk.draining,
            )
            await link.send(Parcel(message))

    def _spawn(self, work: Awaitable[None]) -> None:
        async def guarded() -> None:
            with suppress(OSError, TimeoutError):
                await work

        task = asyncio.create_task(guarded())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _kept_node_id(data_dir: Path | None) -> str | None:
    if data_dir is None:
        return None
    try:
        kept = (data_dir / "node_id").read_text("utf-8").strip()
    except OSError:
        return None
    return kept if is_id(kept) else None


def _keep_node_id(data_dir: Path | None, node_id: str) -> None:
    if data_dir is None:
        return
    try:
        (data_dir / "node_id").write_text(node_id, "utf-8")
    except OSError as error:
        log.warning("the node's name can't be kept: %s", error.strerror)
