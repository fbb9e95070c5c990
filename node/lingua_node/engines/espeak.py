"""Speak with espeak-ng: one short process a sentence, 3 to 11 ms.

Espeak-ng is GPL software: it is only ever run as a program of its own.
"""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING

from lingua_node.engines.base import EngineError, Speech
from lingua_node.processes import end_process
from lingua_wire.audio import parse_wav
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VOICES: Mapping[str, str] = {"en": "en-us", "es": "es", "ca": "ca", "eo": "eo", "fr": "fr-fr", "pt": "pt", "de": "de"}
"""The voice for each language this node may speak."""

_TIMEOUT_S = 10.0
#: A program is slow the first time, and slower among many that start at once.
_LOAD_TIMEOUT_S = 60.0
_WORDS_A_MINUTE = "160"


class EspeakTts:
    """Speak the languages of :data:`VOICES` that are asked for."""

    name = "espeak-ng"

    def __init__(self, languages: Iterable[str], program: str = "espeak-ng", timeout_s: float = _TIMEOUT_S) -> None:
        self._voices = {language: VOICES[language] for language in languages if language in VOICES}
        self._program = program
        self._timeout_s = timeout_s

    @property
    def languages(self) -> frozenset[str]:
        """Name the languages it speaks."""
        return frozenset(self._voices)

    async def start(self) -> None:
        """Check that the program is there and speaks.

        :raises EngineError: MODEL_NOT_AVAILABLE when it is not installed, MODEL_LOAD_FAILED when a voice is missing.
        """
        if shutil.which(self._program) is None:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"{self._program} is not installed")
        try:
            longest_s = max(self._timeout_s, _LOAD_TIMEOUT_S)
            await asyncio.gather(*(self.speak("a", language, longest_s) for language in self._voices))
        except EngineError as error:
            raise EngineError(ErrorCode.MODEL_LOAD_FAILED, error.message) from error

    async def close(self) -> None:
        """Do nothing: no process outlives its sentence."""

    async def speak(self, text: str, language: str, timeout_s: float | None = None) -> Speech:
        """Speak one text within ``timeout_s``, else the engine's own; a cancelled call ends the process.

        :raises EngineError: MODEL_NOT_AVAILABLE for a language not served, TTS_TIMEOUT, PROCESSING_ERROR.
        """
        voice = self._voices.get(language)
        if voice is None:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no voice for {language}")
        wav = await self._run(text, voice, self._timeout_s if timeout_s is None else timeout_s)
        try:
            parsed = parse_wav(wav)
        except WireError as error:
            raise EngineError(ErrorCode.PROCESSING_ERROR, f"{self._program} gave no speech for {language}") from error
        return Speech(bytes(parsed.pcm), parsed.sample_rate)

    async def _run(self, text: str, voice: str, timeout_s: float) -> bytes:
        arguments = ("-v", voice, "-s", _WORDS_A_MINUTE, "--stdin", "--stdout")
        try:
            process = await asyncio.create_subprocess_exec(
                self._program, *arguments, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
            )
        except OSError as error:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"{self._program} can't be run: {error}") from error
        try:
            async with asyncio.timeout(timeout_s):
                spoken, _ = await process.communicate(text.encode())
        except TimeoutError as error:
            raise EngineError(ErrorCode.TTS_TIMEOUT, "speech synthesis took too long") from error
        finally:
            if process.returncode is None:
                await end_process(process, grace_s=0)
        return spoken
