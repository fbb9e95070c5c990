"""Speak with Piper and voices of the user: ``tts/LANGUAGE.onnx`` and its ``.onnx.json`` below the model folder."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lingua_node.engines.base import EngineError, Speech
from lingua_node.engines.neural import Workers, failed
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 30.0


class PiperTts:
    """Speak the languages whose voices are there."""

    name = "piper"

    def __init__(self, model_dir: Path, workers: int = 1, timeout_s: float = _TIMEOUT_S) -> None:
        self._root = model_dir / "tts"
        self._timeout_s = timeout_s
        self._workers = Workers(workers)
        found = sorted(self._root.glob("*.onnx")) if self._root.is_dir() else []
        self._paths = {path.stem: path for path in found}
        self._voices: dict[str, Any] = {}

    @property
    def languages(self) -> frozenset[str]:
        """Name the languages it speaks."""
        return frozenset(self._paths)

    async def start(self) -> None:
        """Load every voice.

        :raises EngineError: MODEL_NOT_AVAILABLE, MODEL_LOAD_FAILED.
        """
        for language, path in self._paths.items():
            self._voices[language] = await self._load(path)
        if not self._voices:
            await self._workers.load("piper", self._root, lambda module: module)
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no voice LANGUAGE.onnx in {self._root}")

    async def _load(self, path: Path) -> Any:  # noqa: ANN401 - an extra without types
        return await self._workers.load("piper", path, lambda module: module.PiperVoice.load(path))

    async def close(self) -> None:
        """Let go of the voices; safe to repeat."""
        self._voices = {}
        self._workers.close()

    async def speak(self, text: str, language: str) -> Speech:
        """Speak one text.

        :raises EngineError: MODEL_NOT_AVAILABLE, TTS_TIMEOUT, PROCESSING_ERROR.
        """
        voice = self._voices.get(language)
        if voice is None:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no voice for {language}")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._workers.run(lambda: _speak(voice, text))
        except TimeoutError as error:
            raise EngineError(ErrorCode.TTS_TIMEOUT, "speech synthesis took too long") from error
        except Exception as error:
            raise failed(error) from error


def _speak(voice: Any, text: str) -> Speech:  # noqa: ANN401 - an extra without types
    pcm = b"".join(chunk.audio_int16_bytes for chunk in voice.synthesize(text))
    return Speech(pcm, voice.config.sample_rate)
