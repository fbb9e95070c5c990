"""Take one job through recognition, translation and synthesis.

The stages a job does not want are left out. Cancelling the call stops whatever stage is at work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lingua_node import audio
from lingua_node.aggregators.audio import AudioAggregator, Cut, JobAudio, Piece, TurnKey
from lingua_node.aggregators.utterance import HeardPiece, UtteranceAggregator
from lingua_node.engines.base import ASR_RATE, EngineError, Listening, Recognition
from lingua_node.languages import candidates, matching, target_of
from lingua_wire.audio import AudioFormat
from lingua_wire.codes import ErrorCode
from lingua_wire.node_messages import EmptyReason

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from lingua_node.engines.base import AsrEngine, NmtEngine, TtsEngine
    from lingua_wire.node_messages import JobAssign

T = TypeVar("T")

DEFAULT_PARTIAL_INTERVAL_MS = 1000

TellPartial = Callable[[str, bool], Awaitable[None]]
"""Called with the text heard so far, and whether it is final."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of a node, started and closed together."""

    asr: AsrEngine
    nmt: NmtEngine
    tts: TtsEngine

    async def start(self) -> None:
        """Start all three; when one fails, the others are closed again.

        :raises EngineError: as the engine says.
        """
        try:
            await together(self.asr.start(), self.nmt.start(), self.tts.start())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all three; safe to repeat."""
        await asyncio.gather(self.asr.close(), self.nmt.close(), self.tts.close())


@dataclass(frozen=True, slots=True)
class Spoken:
    """Encoded speech; empty when there is none."""

    audio: bytes = b""
    audio_format: AudioFormat = AudioFormat.PCM16
    sample_rate: int = ASR_RATE
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """What recognition gave for a whole job."""

    text: str
    language: str
    quality: float
    covered: tuple[int, int] | None = None
    carried_from: int | None = None
    empty_reason: EmptyReason | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a job. ``problems`` are codes of what failed without spoiling the rest.

    ``covered`` and ``carried_from`` are samples at the job's own rate.
    """

    heard: Heard
    text_translated: str
    spoken: Spoken
    timings_ms: dict[str, float]
    route: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class Stopwatch:
    """Measure the stages of a job."""

    started_s: float = field(default_factory=time.perf_counter)
    laps_ms: dict[str, float] = field(default_factory=dict)
    _lap_s: float = field(default_factory=time.perf_counter)

    def lap(self, name: str) -> None:
        """Note the time since the last lap."""
        now = time.perf_counter()
        self.laps_ms[name] = round((now - self._lap_s) * 1000, 2)
        self._lap_s = now

    def total(self) -> dict[str, float]:
        """Give every lap and the total."""
        return {**self.laps_ms, "total_ms": round((time.perf_counter() - self.started_s) * 1000, 2)}


class JobPipeline:
    """Run jobs on one set of engines; the turns' audio and text are kept here."""

    def __init__(self, engines: Engines, clock: Callable[[], float] = time.monotonic) -> None:
        self.engines = engines
        self._clock = clock
        self._audio = AudioAggregator()
        self._texts = UtteranceAggregator()

    async def run(self, job: JobAssign, audio_bytes: bytes, tell: TellPartial) -> Outcome:
        """Do one job.

        :raises EngineError: the job failed; its code says why.
        """
        watch = Stopwatch()
        heard = await self._hear(job, audio_bytes, tell) if job.pipeline.use_asr else _given_text(job)
        watch.lap("asr_ms")
        target = target_of(job, heard.language)
        text, route = await self._translate(job, heard, target)
        watch.lap("nmt_ms")
        spoken, problems = await self._speak(job, text, target if job.pipeline.use_nmt else heard.language)
        watch.lap("tts_ms")
        return Outcome(heard, text, spoken, watch.total(), route, problems)

    async def _hear(self, job: JobAssign, audio_bytes: bytes, tell: TellPartial) -> Heard:
        pcm = await asyncio.to_thread(audio.decode, audio_bytes, job.audio_format, job.sample_rate)
        key = TurnKey(job.session_id, job.turn_id or job.job_id, job.tgt_lang)
        start = None if job.start_sample is None else job.start_sample * ASR_RATE // job.sample_rate
        job_audio = JobAudio(job.job_id, pcm, job.is_max_duration_triggered and job.turn_id is not None, start)
        cut = self._audio.add(key, job_audio, self._clock())
        found = await self._recognise_all(job, cut, tell)
        texts = [self._texts.add(key, _heard_piece(piece, recognition)) for piece, recognition in found]
        heard = _joined(job, cut, [recognition for _, recognition in found], texts)
        if heard.text:
            await tell(heard.text, True)
        return heard

    async def _recognise_all(self, job: JobAssign, cut: Cut, tell: TellPartial) -> list[tuple[Piece, Recognition]]:
        found: list[tuple[Piece, Recognition]] = []
        for piece in cut.pieces:
            before = " ".join(recognition.text for _, recognition in found if recognition.text)
            is_end = piece is cut.pieces[-1] and cut.carried_from is None
            pcm = piece.pcm + audio.silence((job.padding_ms or 0) if is_end else 0)
            found.append((piece, await self._recognise(job, pcm, _prefixed(tell, before))))
        return found

    async def _recognise(self, job: JobAssign, pcm: bytes, tell: TellPartial) -> Recognition:
        """Recognise in every language that may be spoken and take the one that fits best."""
        asr = self.engines.asr
        languages = candidates(job, asr.languages)
        if not languages:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no recogniser for {job.src_lang}")
        if len(languages) == 1:
            return await asr.recognise(pcm, _listening(job, languages[0], tell))
        # Partial texts of rival languages would contradict each other, so there are none until the choice is made.
        found = await together(*(asr.recognise(pcm, Listening(language)) for language in languages))
        return max(found, key=lambda recognition: (bool(recognition.text), recognition.quality))

    async def _translate(self, job: JobAssign, heard: Heard, target: str) -> tuple[str, tuple[str, ...]]:
        if not job.pipeline.use_nmt or not heard.text or matching(target, {heard.language}):
            return heard.text, ()
        nmt = self.engines.nmt
        source = heard.language.partition("-")[0]
        known = matching(target, {tgt for src, tgt in nmt.pairs if src == source})
        if known is None:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no translation from {source} to {target}")
        translation = await nmt.translate(heard.text, source, known)
        return translation.text, translation.route

    async def _speak(self, job: JobAssign, text: str, language: str) -> tuple[Spoken, tuple[str, ...]]:
        """Speak the text; when that fails the text alone is the result, since it must not be lost with the sound."""
        if not job.pipeline.use_tts or not text:
            return Spoken(audio_format=job.audio_format), ()
        tts = self.engines.tts
        try:
            speech = await tts.speak(text, matching(language, tts.languages) or language)
        except EngineError as error:
            return Spoken(audio_format=job.audio_format), (error.code,)
        rate = audio.OPUS_RATE if job.audio_format is AudioFormat.OPUS else job.sample_rate
        encoded = await asyncio.to_thread(audio.encode, speech, job.audio_format, rate)
        return Spoken(encoded, job.audio_format, rate, len(speech.pcm) // 2 * rate // speech.sample_rate), ()


async def together(*works: Coroutine[object, object, T]) -> list[T]:
    """Do several things at once; when one fails the others are cancelled and its error is raised bare."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]


def _given_text(job: JobAssign) -> Heard:
    """Take the text of a job without recognition from its context."""
    return Heard((job.context_text or "").strip(), job.src_lang, 1.0)


def _listening(job: JobAssign, language: str, tell: TellPartial) -> Listening:
    if job.enable_streaming_asr is False or (job.enable_streaming_asr is None and not job.partial_update_interval_ms):
        return Listening(language)

    async def on_partial(text: str) -> None:
        await tell(text, False)

    return Listening(language, job.partial_update_interval_ms or DEFAULT_PARTIAL_INTERVAL_MS, on_partial)


def _prefixed(tell: TellPartial, before: str) -> TellPartial:
    async def tell_all(text: str, final: bool) -> None:
        await tell(f"{before} {text}".strip(), final)

    return tell_all


def _heard_piece(piece: Piece, recognition: Recognition) -> HeardPiece:
    return HeardPiece(piece.start_sample, piece.end_sample, recognition.text, recognition.words)


def _joined(job: JobAssign, cut: Cut, found: list[Recognition], texts: Iterable[str]) -> Heard:
    text = " ".join(part for part in texts if part)
    heard = [recognition for recognition in found if recognition.text]
    best = max(heard, key=lambda recognition: len(recognition.text), default=None)
    nothing_new = EmptyReason.NO_TEXT_ASSIGNED if heard or not cut.pieces else EmptyReason.ASR_EMPTY
    to_rate = job.sample_rate if job.audio_format is not AudioFormat.OPUS else ASR_RATE
    return Heard(
        text,
        best.language if best else job.src_lang,
        sum(recognition.quality for recognition in heard) / len(heard) if heard else 0.0,
        (cut.covered[0] * to_rate // ASR_RATE, cut.covered[1] * to_rate // ASR_RATE),
        None if cut.carried_from is None else cut.carried_from * to_rate // ASR_RATE,
        None if text else nothing_new,
    )
