"""An Electron node as it speaks to the scheduler: no acknowledgement, no start, each job and each utterance once."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import aiohttp

from kit.eventually import PATIENCE_S, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

Message = dict[str, Any]
#: What a node says to a job: nothing, or messages in order.
Answer: TypeAlias = "Callable[[Message], Iterable[Message]]"

#: Services of a node without a graphics card, as it reports them.
SERVICES = [
    {"service_id": "faster-whisper-vad", "type": "asr", "device": "cpu", "status": "running", "version": "1.0.0"},
    {"service_id": "nmt-m2m100", "type": "nmt", "device": "cpu", "status": "running", "version": "1.0.0"},
    {"service_id": "semantic-repair-en-zh", "type": "semantic", "device": "cpu", "status": "running"},
    {"service_id": "piper-tts", "type": "tts", "device": "cpu", "status": "running", "model_id": "piper"},
    {"service_id": "phonetic-correction", "type": "phonetic", "device": "cpu", "status": "running"},
    {"service_id": "punctuation-restore", "type": "punctuation", "device": "cpu", "status": "stopped"},
]
#: Its types are ready only on a graphics card.
TYPES = [{"type": service["type"], "ready": False, "devices": ["cpu"]} for service in SERVICES]
LANGUAGES = {
    "asr_languages": ["zh", "en"],
    "semantic_languages": ["zh", "en"],
    "tts_languages": ["zh", "en"],
    "semantic_core_ready": True,
}


def result(job: Message, **changes: Any) -> Message:
    """Answer a job with text and Opus speech, under the job's ids."""
    said = {
        "type": "job_result",
        "job_id": job["job_id"],
        "attempt_id": job["attempt_id"],
        "session_id": job["session_id"],
        "utterance_index": job["utterance_index"],
        "success": True,
        "text_asr": f"heard {job['utterance_index']}",
        "text_translated": f"said {job['utterance_index']}",
        "tts_audio": "AAAA",
        "tts_format": "opus",
        "extra": {},
        "processing_time_ms": 12,
        "trace_id": job["trace_id"],
    }
    return said | changes


def empty(job: Message, reason: str | None = "ASR_EMPTY") -> Message:
    """Answer a job without any text."""
    extra = {"reason": reason} if reason else {}
    return result(job, text_asr="", text_translated="", tts_audio="", extra=extra)


def failure(job: Message, code: str = "PROCESSING_ERROR", message: str = "it broke") -> Message:
    """Fail a job."""
    names = ("job_id", "attempt_id", "session_id", "utterance_index", "trace_id")
    return {
        "type": "job_result",
        **{name: job[name] for name in names},
        "success": False,
        "processing_time_ms": 1,
        "error": {"code": code, "message": message},
    }


def partial(job: Message, text: str) -> Message:
    """Tell what was heard so far."""
    names = ("job_id", "session_id", "utterance_index", "trace_id")
    return {"type": "asr_partial", **{name: job[name] for name in names}, "text": text, "is_final": False}


def answer_at_once(job: Message) -> list[Message]:
    """Answer each job."""
    return [result(job)]


def keep_quiet(job: Message) -> list[Message]:
    """Say nothing to any job."""
    del job
    return []


class AgentNode:
    """One node. ``told`` is everything the scheduler sent; ``jobs`` the jobs among it, with their audio as bytes."""

    def __init__(self, url: str, answer: Answer = answer_at_once, *, node_id: str | None = None) -> None:
        self.url = url
        self.answer = answer
        self.node_id = node_id
        self.told: list[Message] = []
        self.jobs: list[Message] = []
        self._seen_jobs: set[str] = set()
        self._seen_utterances: set[tuple[str, int]] = set()
        self._http: aiohttp.ClientSession
        self._socket: aiohttp.ClientWebSocketResponse
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        await self.connect()
        await self.register()
        await self.heartbeat()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    async def connect(self) -> None:
        """Open the socket. What the node remembers outlives it."""
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(f"{self.url}/ws/node", max_msg_size=0)
        self._reading = asyncio.create_task(self._read())

    async def disconnect(self) -> None:
        """Close the socket."""
        await self._socket.close()
        await self._reading
        await self._http.close()

    async def register(self, **changes: Any) -> Message:
        """Register, with the id it was given before, and return the acknowledgement."""
        before = len(self.all("node_register_ack"))
        await self.say(
            {
                "type": "node_register",
                "node_id": self.node_id,
                "version": "2.0.0",
                "capability_schema_version": "2.0",
                "platform": "linux",
                "hardware": {"cpu_cores": 2, "memory_gb": 24},
                "installed_models": [],
                "installed_services": SERVICES,
                "capability_by_type": TYPES,
                "features_supported": {},
                "accept_public_jobs": True,
                "language_capabilities": LANGUAGES,
            }
            | changes
        )
        found = await eventually(lambda: self.all("node_register_ack")[before:], what="node_register_ack")
        ack: Message = found[0]
        self.node_id = ack["node_id"]
        return ack

    async def heartbeat(self, **changes: Any) -> None:
        """Tell how it is; metrics are in camel case, and a queue of the graphics card may be among the resources."""
        await self.say(
            {
                "type": "node_heartbeat",
                "node_id": self.node_id,
                "timestamp": 1_795_247_070_476,
                "resource_usage": {
                    "cpu_percent": 12.5,
                    "gpu_percent": 0,
                    "mem_percent": 6.6,
                    "running_jobs": 0,
                    "gpu_queue_length": 1,
                },
                "installed_services": SERVICES,
                "capability_by_type": TYPES,
                "language_capabilities": LANGUAGES,
                "rerun_metrics": {"totalReruns": 0},
                "processing_metrics": {"serviceEfficiencies": {"faster-whisper-vad": 3.2}},
            }
            | changes
        )

    async def say(self, message: Message) -> None:
        """Say anything; words about jobs carry the node's id."""
        if message["type"] in ("job_result", "asr_partial"):
            message = {"node_id": self.node_id} | message
        await self._socket.send_str(json.dumps(message))

    def all(self, kind: str) -> list[Message]:
        """List what it was told of one type."""
        return [message for message in self.told if message["type"] == kind]

    async def job(self, nth: int = 1, *, within_s: float = PATIENCE_S) -> Message:
        """Wait for the nth job."""
        found = await eventually(lambda: self.jobs[nth - 1 :], within_s=within_s, what=f"job {nth}")
        first: Message = found[0]
        return first

    @property
    def closed(self) -> bool:
        """Tell whether the scheduler closed the socket."""
        return self._socket.closed

    async def _read(self) -> None:
        async for message in self._socket:
            assert message.type is aiohttp.WSMsgType.TEXT, "such a node reads JSON only"
            said = json.loads(message.data)
            self.told.append(said)
            if said["type"] == "job_assign":
                await self._work(said)

    async def _work(self, job: Message) -> None:
        self.jobs.append(job | {"audio": base64.b64decode(job["audio"])})
        for said in self._refusal(job) or self.answer(job):
            await self.say(said)

    def _refusal(self, job: Message) -> list[Message]:
        """Refuse a job, or an utterance, that this node has had: it remembers both for the life of its process."""
        utterance = (job["session_id"], job["utterance_index"])
        if job["job_id"] in self._seen_jobs:
            return [failure(job, message="DUPLICATE_JOB_ID: job_id already processed by this node")]
        if utterance in self._seen_utterances:
            return [failure(job, message="DUPLICATE_UTTERANCE_INDEX: another job already accepted for this utterance")]
        self._seen_jobs.add(job["job_id"])
        self._seen_utterances.add(utterance)
        return []
