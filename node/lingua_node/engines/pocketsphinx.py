"""Recognise speech with pocketsphinx: a few warm decoder processes for each language."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from lingua_node.engines import pipes
from lingua_node.engines.asr_models import PHRASE_FIT, AsrModel
from lingua_node.engines.base import EngineError, Listening, Recognition, Word
from lingua_node.engines.pipes import STEP_SAMPLES, Kind, PipeFrame
from lingua_node.processes import end_process
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_LOAD_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 2.0
_STEP_MS = STEP_SAMPLES // 16
_WORST_FIT = -6.0
_BEST_FIT = -2.0


class Decoder:
    """One decoder process, started when it is needed and started again when it died."""

    def __init__(self, model: AsrModel) -> None:
        self.model = model
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """Name the process while it lives."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and alive else None

    async def start(self) -> None:
        """Start the process and wait until its model is loaded.

        :raises EngineError: MODEL_LOAD_FAILED.
        """
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "lingua_node.engines.decoder_process",
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_LOAD_TIMEOUT_S):
                await self._send(pipes.pack(Kind.LOAD, json.dumps(dict(self.model.spec)).encode()))
                frame = await self._receive()
        except (TimeoutError, EngineError) as error:
            await self.close()
            raise EngineError(ErrorCode.MODEL_LOAD_FAILED, f"the decoder did not start: {error}") from error
        if frame.kind is not Kind.READY:
            await self.close()
            raise EngineError(ErrorCode.MODEL_LOAD_FAILED, str(json.loads(frame.body).get("message")))

    async def close(self) -> None:
        """End the process; safe to repeat."""
        process, self._process = self._process, None
        if process is not None:
            await end_process(process)

    async def hear(self, pcm: bytes, listening: Listening) -> dict[str, Any]:
        """Decode one utterance; a cancelled call stops the decoder and leaves it ready for the next.

        :raises EngineError: PROCESSING_ERROR when the process died.
        """
        if self.pid is None:
            await self.start()
        steps = 0 if listening.on_partial is None else -(-listening.partial_interval_ms // _STEP_MS)
        body = struct.pack("<I", steps) + pcm[: len(pcm) // 2 * 2]
        try:
            await self._send(pipes.pack(Kind.HEAR, body))
            return await self._result(listening)
        except EngineError:
            await self.close()
            raise
        except BaseException:  # cancelled, or the listener of partials failed: the answer is still owed
            await asyncio.shield(self._stop())
            raise

    async def _result(self, listening: Listening) -> dict[str, Any]:
        while True:
            frame = await self._receive()
            if frame.kind is Kind.RESULT:
                result: dict[str, Any] = json.loads(frame.body)
                return result
            if frame.kind is Kind.PARTIAL and listening.on_partial is not None:
                await listening.on_partial(frame.body.decode())

    async def _stop(self) -> None:
        """Wait for the one answer that is still owed; a process that doesn't give it in time is ended."""
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._send(pipes.pack(Kind.STOP))
                await self._result(Listening(self.model.language))
        except (TimeoutError, EngineError):
            await self.close()

    async def _send(self, data: bytes) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise _died()
        try:
            process.stdin.write(data)
            await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _died() from error

    async def _receive(self) -> PipeFrame:
        process = self._process
        if process is None or process.stdout is None:
            raise _died()
        try:
            kind, length = pipes.unpack_header(await process.stdout.readexactly(pipes.HEADER_BYTES))
            return PipeFrame(kind, await process.stdout.readexactly(length))
        except (asyncio.IncompleteReadError, ValueError) as error:
            raise _died() from error


class PocketsphinxAsr:
    """Hear each language with the best model given for it; ``decoders`` utterances of a language at once."""

    name = "pocketsphinx"

    def __init__(self, models: Sequence[AsrModel], decoders: int = 1) -> None:
        self._models = {model.language: model for model in models}
        self._decoders = {
            language: [Decoder(model) for _ in range(decoders)] for language, model in self._models.items()
        }
        self._idle: dict[str, asyncio.LifoQueue[Decoder]] = {}

    @property
    def languages(self) -> frozenset[str]:
        """Name the languages it hears."""
        return frozenset(self._models)

    def note(self, language: str) -> str:
        """Say honestly what it hears of this language."""
        return self._models[language].note

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """Name the words of the user's files that it can't hear, since nothing says how they sound."""
        return tuple(word for model in self._models.values() for word in model.unknown_words)

    def decoder_pids(self, language: str) -> tuple[int, ...]:
        """Name the processes that live now."""
        return tuple(decoder.pid for decoder in self._decoders[language] if decoder.pid is not None)

    async def start(self) -> None:
        """Load every decoder.

        :raises EngineError: MODEL_LOAD_FAILED.
        """
        decoders = [decoder for group in self._decoders.values() for decoder in group]
        try:
            await asyncio.gather(*(decoder.start() for decoder in decoders))
        except BaseException:
            await self.close()
            raise
        for language, group in self._decoders.items():
            self._idle[language] = asyncio.LifoQueue()
            for decoder in group:
                self._idle[language].put_nowait(decoder)

    async def close(self) -> None:
        """End every decoder; safe to repeat."""
        await asyncio.gather(*(decoder.close() for group in self._decoders.values() for decoder in group))

    async def recognise(self, pcm: bytes, listening: Listening) -> Recognition:
        """Recognise one utterance; it waits for a free decoder.

        :raises EngineError: MODEL_NOT_AVAILABLE for a language not served, PROCESSING_ERROR when the decoder died.
        """
        model = self._models.get(listening.language)
        if model is None:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no recogniser for {listening.language}")
        async with self._free_decoder(listening.language) as decoder:
            return recognition_of(model, await decoder.hear(pcm, listening))

    @asynccontextmanager
    async def _free_decoder(self, language: str) -> AsyncIterator[Decoder]:
        idle = self._idle.get(language)
        if idle is None:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, "the recogniser is not started")
        decoder = await idle.get()
        try:
            yield decoder
        finally:
            idle.put_nowait(decoder)


def recognition_of(model: AsrModel, result: dict[str, Any]) -> Recognition:
    """Read a decoder's result; with a phrasebook, what is no whole phrase or fits badly was not heard."""
    text, fit = result.get("text", ""), result.get("fit")
    if model.phrases:
        text = model.phrases.get(text, "") if fit is not None and fit >= PHRASE_FIT else ""
    if not text or fit is None:
        return Recognition("", model.language)
    words = tuple(Word(_without_variant(word), start, end) for word, start, end in result["words"])
    return Recognition(text, model.language, words, quality_of(fit))


def quality_of(fit: float) -> float:
    """Map a mean log score (of a thousand frames) to 0..1."""
    return min(1.0, max(0.0, (fit - _WORST_FIT) / (_BEST_FIT - _WORST_FIT)))


def _without_variant(word: str) -> str:
    return word.partition("(")[0]


def _died() -> EngineError:
    return EngineError(ErrorCode.PROCESSING_ERROR, "the decoder process ended")
