"""What HTTP needs of the scheduler behind it, as the handlers see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

if TYPE_CHECKING:
    from lingua_scheduler.auth import Authenticator
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.pairing import PairingDesk
    from lingua_state.client import Store


@dataclass(frozen=True, slots=True)
class TranslateOnce:
    """One utterance to translate, from HTTP. ``audio`` is bare PCM16 or Plan A Opus, never a WAV file.

    ``languages`` are the candidates when ``source`` is ``auto``; ``both_ways`` asks for two_way_auto between two of
    them. ``timeout_ms`` bounds the whole call.
    """

    source: str
    target: str
    audio: bytes = field(repr=False)
    audio_format: str = "pcm16"
    sample_rate: int = 16_000
    languages: tuple[str, ...] = ()
    both_ways: bool = False
    tenant: str = ""
    pairing_code: str | None = field(default=None, repr=False)
    dialect: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    use_tts: bool = True
    timeout_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class TranslateResult:
    """What came of it. ``speech`` is empty when the node made none; ``speech_format`` as the node says (``pcm16``,
    ``wav``, ``opus``)."""

    session_id: str
    job_id: str
    node_id: str
    source: str
    target: str
    text: str = field(repr=False)
    translation: str = field(repr=False)
    speech: bytes = field(default=b"", repr=False)
    speech_format: str = "pcm16"
    speech_rate: int = 16_000
    trace_id: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A job that was started and goes on by itself; ``node_id`` is empty while it waits for one."""

    job_id: str
    session_id: str
    node_id: str
    attempt_id: int
    status: str


class SchedulerPort(Protocol):
    """The running scheduler. Refusals are :class:`lingua_wire.errors.WireError` with their code, or ``StateError``."""

    @property
    def store(self) -> Store:
        """The shared state."""

    @property
    def metrics(self) -> Metrics:
        """What is counted."""

    @property
    def auth(self) -> Authenticator:
        """Who may come in."""

    @property
    def pairing(self) -> PairingDesk:
        """Who looks at pairing codes."""

    @property
    def instance_id(self) -> str:
        """This instance's name."""

    @property
    def version(self) -> str:
        """The version of the program."""

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""

    @property
    def draining(self) -> bool:
        """Whether the instance takes no new work."""

    @property
    def store_writable(self) -> bool:
        """Whether the store took this instance's last announcement: it may answer, and yet refuse every change."""

    async def translate_once(self, request: TranslateOnce) -> TranslateResult:
        """Translate one utterance in a session that lives as long as the call; cancelled with the caller."""

    async def dispatch_once(self, request: TranslateOnce) -> Dispatched:
        """Start a job for one utterance and answer as soon as it has a node or waits for one."""

    async def undrain_node(self, node_id: str) -> None:
        """Let a drained node have work again, and hand over what gets a place by it."""

    async def cancel_job(self, job_id: str) -> bool:
        """End a job that nobody wants any more and tell its node; False: it had ended before."""


#: Where the running scheduler sits in the application.
SCHEDULER: web.AppKey[SchedulerPort] = web.AppKey("scheduler")
