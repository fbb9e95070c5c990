"""Recognise speech with faster-whisper and a Whisper model of the user, in ``asr`` below the model folder."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from lingua_node.engines.base import ASR_RATE, EngineError, Listening, Recognition, Word
from lingua_node.engines.neural import Workers, failed
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class FasterWhisperAsr:
    """Hear the languages given; the model must know them."""

    name = "faster-whisper"

    def __init__(self, model_dir: Path, languages: Iterable[str], workers: int = 1) -> None:
        self._path = model_dir / "asr"
        self._languages = frozenset(languages)
        self._count = workers
        self._workers = Workers(workers)
        self._model: Any = None

    @property
    def languages(self) -> frozenset[str]:
        """Name the languages it hears."""
        return self._languages

    def note(self, language: str) -> str:
        """Say honestly what it hears of this language."""
        del language
        return "open vocabulary (Whisper)"

    async def start(self) -> None:
        """Load the model.

        :raises EngineError: MODEL_NOT_AVAILABLE, MODEL_LOAD_FAILED.
        """
        self._model = await self._workers.load(
            "faster_whisper",
            self._path,
            lambda module: module.WhisperModel(
                str(self._path), device="auto", num_workers=self._count, local_files_only=True
            ),
        )

    async def close(self) -> None:
        """Let go of the model; safe to repeat."""
        self._model = None
        self._workers.close()

    async def recognise(self, pcm: bytes, listening: Listening) -> Recognition:
        """Recognise one utterance; a cancelled call ends after the segment at work.

        :raises EngineError: MODEL_NOT_AVAILABLE, PROCESSING_ERROR.
        """
        if self._model is None or listening.language not in self._languages:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no recogniser for {listening.language}")
        run = _Run(self._model, pcm, listening)
        try:
            return await self._workers.run(run.recognise)
        except EngineError:
            raise
        except Exception as error:
            raise failed(error) from error
        finally:
            run.stopped.set()


class _Run:
    """One utterance in a worker thread."""

    def __init__(self, model: Any, pcm: bytes, listening: Listening) -> None:  # noqa: ANN401 - an extra without types
        self.stopped = threading.Event()
        self._model = model
        self._pcm = pcm
        self._listening = listening
        self._loop = asyncio.get_running_loop()

    def recognise(self) -> Recognition:
        samples = np.frombuffer(self._pcm, np.int16).astype(np.float32) / 32768
        found, _ = self._model.transcribe(
            samples,
            language=self._listening.language,
            word_timestamps=True,
            condition_on_previous_text=False,  # else one bad sentence spoils the next ones
            vad_filter=True,  # Whisper invents text on silence
        )
        segments: list[Any] = []
        for segment in found:
            if self.stopped.is_set():
                break
            segments.append(segment)
            self._tell(_text(segments))
        return recognition_of(segments, self._listening.language)

    def _tell(self, text: str) -> None:
        on_partial = self._listening.on_partial
        if on_partial is not None and self._listening.partial_interval_ms:
            asyncio.run_coroutine_threadsafe(_as_coroutine(on_partial, text), self._loop).result()


async def _as_coroutine(on_partial: Any, text: str) -> None:  # noqa: ANN401 - a PartialText
    await on_partial(text)


def recognition_of(segments: Iterable[Any], language: str) -> Recognition:
    """Join the segments of Whisper; quality is the mean probability of a token."""
    listed = list(segments)
    if not listed:
        return Recognition("", language)
    words = tuple(
        Word(word.word.strip(), round(word.start * ASR_RATE), round(word.end * ASR_RATE))
        for segment in listed
        for word in segment.words or ()
    )
    mean = sum(segment.avg_logprob for segment in listed) / len(listed)
    return Recognition(_text(listed), language, words, min(1.0, math.exp(mean)))


def _text(segments: Iterable[Any]) -> str:
    return " ".join(segment.text.strip() for segment in segments)
