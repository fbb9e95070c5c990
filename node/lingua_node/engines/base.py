"""What every engine gives, whatever is behind it: recognition, translation, speech.

An engine owns its processes or models: ``start`` loads them, ``close`` ends them, and each call may run beside others.
Failures are :class:`EngineError` with a code of docs/protocol.md, nothing else. No engine logs speech or text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from lingua_wire.codes import ErrorCode

ASR_RATE = 16_000
"""Samples a second which every recogniser takes: mono, signed 16 bit, little endian."""


class EngineError(Exception):
    """Say why an engine could not do its work, with the code the scheduler acts on."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word and the samples it covers, from the start of the audio given."""

    text: str
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was heard. ``quality`` is 0 (a guess) to 1 (sure); an empty text means that nothing was heard."""

    text: str
    language: str
    words: tuple[Word, ...] = ()
    quality: float = 0.0


@dataclass(frozen=True, slots=True)
class Translation:
    """A text in the target language; ``route`` names the languages it went through."""

    text: str
    route: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Speech:
    """Mono signed 16 bit little-endian samples."""

    pcm: bytes
    sample_rate: int


PartialText = Callable[[str], Awaitable[None]]
"""Called with the text so far while a recogniser works."""


@dataclass(frozen=True, slots=True)
class Listening:
    """How to listen: the language, and how often (0: never) to tell the text so far."""

    language: str
    partial_interval_ms: int = 0
    on_partial: PartialText | None = None


@runtime_checkable
class AsrEngine(Protocol):
    """Turn speech into text."""

    name: str

    @property
    def languages(self) -> frozenset[str]:
        """Name the languages it hears."""
        ...

    def note(self, language: str) -> str:
        """Say honestly in a few words what it hears of this language, such as "open vocabulary"."""
        ...

    async def start(self) -> None:
        """Load what it needs.

        :raises EngineError: MODEL_LOAD_FAILED or MODEL_NOT_AVAILABLE.
        """
        ...

    async def close(self) -> None:
        """End its processes; safe to repeat."""
        ...

    async def recognise(self, pcm: bytes, listening: Listening) -> Recognition:
        """Recognise one utterance of :data:`ASR_RATE` samples a second.

        Cancelling the call stops the work at once.
        :raises EngineError: the language is not served, or the engine failed.
        """
        ...


@runtime_checkable
class NmtEngine(Protocol):
    """Turn text into text of another language."""

    name: str

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """Name the directed pairs it translates."""
        ...

    def note(self, src: str, tgt: str) -> str:
        """Say how it translates this pair, such as "pivot through ca"; empty when directly."""
        ...

    async def start(self) -> None:
        """Load what it needs."""
        ...

    async def close(self) -> None:
        """End its processes; safe to repeat."""
        ...

    async def translate(self, text: str, src: str, tgt: str) -> Translation:
        """Translate one text.

        :raises EngineError: MODEL_NOT_AVAILABLE for a pair not served, NMT_TIMEOUT, PROCESSING_ERROR.
        """
        ...


@runtime_checkable
class TtsEngine(Protocol):
    """Turn text into speech."""

    name: str

    @property
    def languages(self) -> frozenset[str]:
        """Name the languages it speaks."""
        ...

    async def start(self) -> None:
        """Load what it needs."""
        ...

    async def close(self) -> None:
        """End its processes; safe to repeat."""
        ...

    async def speak(self, text: str, language: str) -> Speech:
        """Speak one text, at whatever rate the engine has.

        :raises EngineError: MODEL_NOT_AVAILABLE for a language not served, TTS_TIMEOUT, PROCESSING_ERROR.
        """
        ...
