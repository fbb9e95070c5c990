"""Translation nodes for tests: they answer at once with a proof of what they heard, or misbehave as they are told.

What a node does with a job is a function, ``act(node, job)``. The ones here cover the usual cases; a test writes
its own from :meth:`Node.ack`, :meth:`Node.result` and the like.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import aiohttp
import orjson
from aiohttp import WSMsgType

from kit.clients import cut
from kit.eventually import PATIENCE_S, eventually
from kit.proof import proof, speech_of
from lingua_wire import frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

Message = dict[str, Any]
EXTENSIONS = ("binary_audio", "digest", "fast_lease")


@dataclass(slots=True)
class Job:
    """A job as a node got it."""

    assign: Message
    audio: bytes = field(repr=False)
    open: bool = True
    cancelled: str | None = None

    @property
    def job_id(self) -> str:
        """Name it."""
        return str(self.assign["job_id"])

    @property
    def index(self) -> int:
        """Give its utterance's index."""
        return int(self.assign["utterance_index"])

    @property
    def text(self) -> str:
        """Tell what proves that it was heard."""
        return proof(self.assign["session_id"], self.index, self.audio)


Act: TypeAlias = "Callable[[Node, Job], Awaitable[None]]"


async def answer(node: Node, job: Job) -> None:
    """Confirm the job and answer it."""
    await node.ack(job)
    await node.result(job)


async def confirm(node: Node, job: Job) -> None:
    """Confirm the job and keep it."""
    await node.ack(job)


async def ignore(node: Node, job: Job) -> None:
    """Say nothing at all."""
    del node, job


async def crash(node: Node, job: Job) -> None:
    """Die before a word was said."""
    del job
    node.crash()


async def confirm_and_crash(node: Node, job: Job) -> None:
    """Die with the job in hand."""
    await node.ack(job)
    node.crash()


def after(delay_s: float) -> Act:
    """Answer after a while."""

    async def act(node: Node, job: Job) -> None:
        await node.ack(job)
        await asyncio.sleep(delay_s)
        await node.result(job)

    return act


def failing(code: str, *, acks: bool = False) -> Act:
    """Fail every job with a code."""

    async def act(node: Node, job: Job) -> None:
        if acks:
            await node.ack(job)
        await node.fail(job, code)

    return act


def first(*acts: Act, then: Act = answer) -> Act:
    """Do so with the first jobs, and ``then`` with all others."""
    left = list(acts)

    async def act(node: Node, job: Job) -> None:
        await (left.pop(0) if left else then)(node, job)

    return act


class Node:
    """One node. ``peak`` is the most jobs it ever had at once, ``told`` all it was told but jobs."""

    def __init__(
        self,
        url: str,
        hears: tuple[str, ...],
        speaks: tuple[str, ...],
        act: Act = answer,
        *,
        node_id: str | None = None,
        extensions: tuple[str, ...] = EXTENSIONS,
        capacity: int = 4,
        token: str = "",
        **registration: Any,
    ) -> None:
        self.url = url
        self.act = act
        self.node_id = node_id
        self.extensions = extensions
        self.capacity = capacity
        self.jobs: list[Job] = []
        self.told: list[Message] = []
        self.peak = 0
        self._is_member = False
        self.cpu_percent = 1.0
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._open: dict[str, Job] = {}
        self._announced: dict[str, Message] = {}
        self._languages = {"asr_languages": list(hears), "tts_languages": list(speaks)}
        self._registration = registration
        self._acts: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession
        self._socket: aiohttp.ClientWebSocketResponse
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        await self.connect()
        await self.register()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    @property
    def base(self) -> bool:
        """Tell whether it asks for no extension."""
        return not self.extensions

    # The connection

    async def connect(self) -> None:
        """Open the socket."""
        self._is_member = False
        self._http = aiohttp.ClientSession(headers=self._headers)
        try:
            self._socket = await self._http.ws_connect(f"{self.url}/ws/node", max_msg_size=0, compress=0)
        except BaseException:
            await self._http.close()
            raise
        self._reading = asyncio.create_task(self._read())

    async def disconnect(self) -> None:
        """Close the socket; what it does with its jobs ends too."""
        for task in list(self._acts):
            task.cancel()
        results = await asyncio.gather(*self._acts, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            await self._socket.close()
        await self._reading
        await self._http.close()
        faults = [error for error in results if isinstance(error, Exception)]
        if faults:
            raise faults[0]

    def crash(self) -> None:
        """Cut the connection without a word."""
        for job in self._open.values():
            job.open = False
        self._open.clear()
        cut(self._socket)

    async def restart(self, url: str | None = None) -> None:
        """Come back under the same id, maybe elsewhere."""
        self.crash()
        await self.disconnect()
        self.url = url or self.url
        await self.connect()
        await self.register()

    async def closed(self, within_s: float = PATIENCE_S) -> int | None:
        """Wait for the scheduler to close the socket; return its code."""
        await asyncio.wait_for(asyncio.shield(self._reading), within_s)
        return self._socket.close_code

    # What it says

    async def say(self, message: Message) -> None:
        """Say anything."""
        await self._socket.send_str(orjson.dumps(message).decode())

    async def say_raw(self, data: str | bytes) -> None:
        """Send a frame as it is."""
        await (self._socket.send_str(data) if isinstance(data, str) else self._socket.send_bytes(data))

    async def register(self, **changes: Any) -> Message:
        """Register and return the acknowledgement."""
        before = len(self.all("node_register_ack"))
        await self.say(self.registration() | changes)
        found = await eventually(lambda: self.all("node_register_ack")[before:], what="node_register_ack")
        return dict(found[0])

    def registration(self) -> Message:
        """Write ``node_register``."""
        kinds = ("asr", "nmt", "tts")
        message: Message = {
            "type": "node_register",
            "node_id": self.node_id,
            "version": "test",
            "platform": "linux",
            "hardware": {"cpu_cores": 1, "memory_gb": 1},
            "installed_models": [],
            "installed_services": [
                {"service_id": kind, "type": kind, "device": "cpu", "status": "running"} for kind in kinds
            ],
            "capability_by_type": [{"type": kind, "ready": False} for kind in kinds],
            "features_supported": {},
            "accept_public_jobs": True,
            "language_capabilities": self._languages,
            "max_jobs": self.capacity,
        }
        if self.extensions:
            message["extensions"] = list(self.extensions)
        return message | self._registration

    async def beat(self, **changes: Any) -> None:
        """Send a heartbeat."""
        beat = {
            "type": "node_heartbeat",
            "node_id": self.node_id,
            "timestamp": int(time.time() * 1000),
            "resource_usage": {"cpu_percent": self.cpu_percent, "mem_percent": 1.0, "running_jobs": len(self._open)},
            "installed_services": self.registration()["installed_services"],
            "capability_by_type": [],
        }
        await self.say(beat | changes)

    async def ack(self, job: Job, **changes: Any) -> None:
        """Confirm a job, as nodes with an extension do."""
        if not self.base:
            await self.say({"type": "job_ack", **self._word(job), **self._digest(job), **changes})

    async def start(self, job: Job) -> None:
        """Say that the work began."""
        await self.say({"type": "job_started", **self._word(job)})

    async def partial(self, job: Job, text: str, **changes: Any) -> None:
        """Tell what was heard so far."""
        word = self._word(job)
        del word["attempt_id"]
        said = {"type": "asr_partial", **word, "utterance_index": job.index, "text": text, "is_final": False}
        await self.say(said | changes)

    async def result(self, job: Job, speech_ms: int = 20, **changes: Any) -> None:
        """Answer a job with its proof, and speech that belongs to it; the slot is free from here on."""
        speech = speech_of(job.text, speech_ms)
        said = {
            "type": "job_result",
            **self._word(job),
            **self._digest(job),
            "utterance_index": job.index,
            "success": True,
            "text_asr": job.text,
            "text_translated": job.text,
            "tts_format": "pcm16",
            "extra": {},
        }
        self._end(job)
        if "binary_audio" not in self.extensions or "tts_audio" in changes:
            await self.say(said | {"tts_audio": base64.b64encode(speech).decode()} | changes)
            return
        await self.say(said | {"audio_follows": True, "tts_sample_rate": 16_000} | changes)
        await self.say_raw(frames.pack(frames.Kind.JOB_TTS, speech, key=job.job_id, last=True))

    async def fail(self, job: Job, code: str, **changes: Any) -> None:
        """Answer a job with an error."""
        self._end(job)
        said = {
            "type": "job_result",
            **self._word(job),
            "utterance_index": job.index,
            "success": False,
            "error": {"code": code, "message": "a test wants it so"},
        }
        await self.say(said | changes)

    # What it heard

    def all(self, kind: str) -> list[Message]:
        """List what it was told of one type."""
        return [message for message in self.told if message["type"] == kind]

    async def job(self, nth: int = 1, within_s: float = PATIENCE_S) -> Job:
        """Wait for the nth job."""
        found = await eventually(lambda: self.jobs[nth - 1 :], within_s=within_s, what=f"job {nth} of {self.node_id}")
        return found[0]  # type: ignore[no-any-return]

    @property
    def running(self) -> int:
        """Count the jobs it has not answered."""
        return len(self._open)

    def _word(self, job: Job) -> Message:
        names = ("job_id", "attempt_id", "session_id", "trace_id")
        return {"node_id": self.node_id, **{name: job.assign[name] for name in names}}

    def _digest(self, job: Job) -> Message:
        return {"audio_sha256": hashlib.sha256(job.audio).hexdigest()} if "digest" in self.extensions else {}

    def _end(self, job: Job) -> None:
        job.open = False
        if self._open.get(job.job_id) is job:
            del self._open[job.job_id]

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            async for packet in self._socket:
                if packet.type is WSMsgType.BINARY:
                    frame = frames.unpack(packet.data)
                    self._begin(Job(self._announced.pop(frame.key), bytes(frame.audio)))
                elif packet.type is WSMsgType.TEXT:
                    self._hear(orjson.loads(packet.data))

    def _hear(self, message: Message) -> None:
        if message["type"] == "job_assign" and message.get("audio_follows"):
            self._announced[message["job_id"]] = message
        elif message["type"] == "job_assign":
            self._begin(Job(message, base64.b64decode(message["audio"])))
        else:
            self.told.append(message)
            if message["type"] == "node_register_ack":
                self.node_id, self._is_member = message["node_id"], True
            job = self._open.get(message.get("job_id", ""))
            if message["type"] == "job_cancel" and job is not None:
                job.cancelled = message.get("reason", "")
                self._end(job)

    def _begin(self, job: Job) -> None:
        assert self._is_member, "a job came before the answer to the registration"
        self.jobs.append(job)
        self._open[job.job_id] = job
        self.peak = max(self.peak, len(self._open))
        task = asyncio.get_running_loop().create_task(self._do(job))
        self._acts.add(task)
        task.add_done_callback(self._acts.discard)

    async def _do(self, job: Job) -> None:
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await self.act(self, job)
