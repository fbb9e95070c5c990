"""Voice activity: how much of a chunk is speech, and how long it has been silent. Nothing is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import webrtcvad

from lingua_wire import plan_a
from lingua_wire.audio import SAMPLE_BYTES, SAMPLE_RATE, AudioFormat, samples_of_ms
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

Payload = bytes | bytearray | memoryview

FRAME_MS: Final = 30
#: Fewer frames of speech in a row are a click, not speech.
RUN_FRAMES: Final = 3
#: The rates that the WebRTC detector takes; others are judged by loudness alone.
VAD_RATES: Final = frozenset({8_000, 16_000, 32_000, 48_000})
#: Each how manieth sample is looked at for loudness: speech is loud for long, so a part of it is enough.
PEAK_STRIDE: Final = 8
#: How much of a whole utterance is judged at a time, until there is enough speech.
WHOLE_STEP_MS: Final = 240
#: Within so much of its beginning the loudest step is looked for, by each how manieth sample: that is likely speech.
LOUDEST_WITHIN_MS: Final = 1_920
LOUDEST_STRIDE: Final = 64
#: How the loudness of speech is forgotten, per frame: 2 dB a second, so that a softer second speaker is heard.
PEAK_DECAY: Final = 10 ** (-2.0 * FRAME_MS / 1000 / 20)
#: A CELT packet says nothing about speech; one this small (per 20 ms) has room for next to nothing.
CELT_SILENCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class VoiceRules:
    """How strict the detectors are.

    ``mode`` is WebRTC's aggressiveness (0 lets most pass, 3 least). ``floor_dbfs`` is the peak below which nothing is
    speech; ``loud_dbfs`` is that floor at rates the detector can't take, where loudness alone decides. What lies
    ``below_speech_db`` under the speech heard lately is the room, not the speaker: WebRTC's detector takes a steady
    noise for speech for seconds after a quiet start.
    """

    mode: int = 2
    floor_dbfs: float = -52.0
    loud_dbfs: float = -34.0
    below_speech_db: float = 28.0


@dataclass(slots=True)
class Heard:
    """What a chunk brought, in samples of the session's rate. Not frozen, for the price of that: see ``frames.Frame``.

    ``silence`` is the run without speech up to the end of this chunk, counted over earlier chunks too.
    """

    samples: int
    speech: int
    silence: int


class VoiceDetector(Protocol):
    """Judge the chunks of one stream in the order they come."""

    @property
    def sample_rate(self) -> int:
        """Samples a second of everything counted here."""

    def hear(self, payload: Payload) -> Heard:
        """Judge one chunk.

        :raises WireError: ``UNSUPPORTED_FORMAT`` when it is not audio of this format; nothing was counted then.
        """

    def pass_over(self, payload: Payload) -> Heard:
        """Take one chunk without judging it: where there was speech and silence ends nothing, it all counts as speech.

        :raises WireError: as :meth:`hear`.
        """


class SpeechRuns:
    """Count speech in runs, so that single frames taken for speech (clicks, gusts) count as silence."""

    __slots__ = ("_run", "_run_frames", "silence")

    def __init__(self) -> None:
        self._run = 0
        self._run_frames = 0
        self.silence = 0

    def add(self, samples: int, *, voiced: bool) -> int:
        """Take one frame; return the samples that now count as speech (those of the whole run when it proves one)."""
        if not voiced:
            self._run = self._run_frames = 0
            self.silence += samples
            return 0
        self._run += samples
        self._run_frames += 1
        if self._run_frames < RUN_FRAMES:
            self.silence += samples
            return 0
        self.silence = 0
        return samples if self._run_frames > RUN_FRAMES else self._run


class Pcm16Detector:
    """Judge 16-bit mono samples: the WebRTC detector on 30 ms frames, and a floor of loudness."""

    __slots__ = (
        "_below_speech",
        "_floor",
        "_frame_bytes",
        "_frame_samples",
        "_rest",
        "_runs",
        "_speech_peak",
        "_voiced",
        "sample_rate",
    )

    def __init__(self, sample_rate: int = SAMPLE_RATE, rules: VoiceRules | None = None) -> None:
        rules = rules or VoiceRules()
        known = sample_rate in VAD_RATES
        self.sample_rate = sample_rate
        self._voiced: Callable[[Payload], bool] = _webrtc(rules.mode, sample_rate) if known else _loud
        self._floor = _peak_of(rules.floor_dbfs if known else rules.loud_dbfs)
        self._below_speech = 10 ** (-rules.below_speech_db / 20)
        self._speech_peak = 0.0
        self._frame_samples = samples_of_ms(FRAME_MS, sample_rate)
        self._frame_bytes = self._frame_samples * SAMPLE_BYTES
        self._rest = b""
        self._runs = SpeechRuns()

    def hear(self, payload: Payload) -> Heard:
        """Judge one chunk of samples."""
        if len(payload) % SAMPLE_BYTES:
            raise WireError(ErrorCode.UNSUPPORTED_FORMAT, "16-bit samples come in an even number of bytes")
        speech = sum(
            self._runs.add(self._frame_samples, voiced=self._is_speech(frame)) for frame in self._split(payload)
        )
        return Heard(len(payload) // SAMPLE_BYTES, speech, self._runs.silence)

    def pass_over(self, payload: Payload) -> Heard:
        """Count one chunk of samples without judging it."""
        if len(payload) % SAMPLE_BYTES:
            raise WireError(ErrorCode.UNSUPPORTED_FORMAT, "16-bit samples come in an even number of bytes")
        self._rest = b""
        samples = len(payload) // SAMPLE_BYTES
        return Heard(samples, samples, 0)

    def _split(self, payload: Payload) -> list[memoryview]:
        view, size = memoryview(payload), self._frame_bytes
        frames, at = [], 0
        if self._rest and len(self._rest) + len(view) >= size:
            at = size - len(self._rest)
            frames.append(memoryview(self._rest + bytes(view[:at])))
            self._rest = b""
        if not self._rest:
            frames += [view[start : start + size] for start in range(at, len(view) - size + 1, size)]
            at += (len(view) - at) // size * size
        self._rest += bytes(view[at:])
        return frames

    def _is_speech(self, frame: memoryview) -> bool:
        self._speech_peak *= PEAK_DECAY
        if not self._voiced(frame):
            return False
        loudness = peak(frame)
        self._speech_peak = max(self._speech_peak, loudness)
        return loudness >= max(self._floor, self._speech_peak * self._below_speech)


class PlanADetector:
    """Judge Plan A Opus by what its encoder says of each packet (RFC 6716 4.2.3), without decoding."""

    __slots__ = ("_runs", "sample_rate")

    def __init__(self, sample_rate: int = SAMPLE_RATE) -> None:
        self.sample_rate = sample_rate
        self._runs = SpeechRuns()

    def hear(self, payload: Payload) -> Heard:
        """Judge one chunk of packets."""
        total = speech = 0
        for packet in plan_a.packets(payload):
            samples = plan_a.packet_us(packet) * self.sample_rate // 1_000_000
            total += samples
            speech += self._runs.add(samples, voiced=_packet_is_speech(packet))
        return Heard(total, speech, self._runs.silence)

    def pass_over(self, payload: Payload) -> Heard:
        """Count one chunk of packets without judging it."""
        samples = plan_a.payload_samples(payload, self.sample_rate)
        return Heard(samples, samples, 0)


def detector_of(audio_format: AudioFormat, sample_rate: int, rules: VoiceRules | None = None) -> VoiceDetector:
    """Make the detector for a stream. WAV is a file, not a stream: unpack it first.

    :raises WireError: ``UNSUPPORTED_FORMAT`` for WAV.
    """
    if audio_format is AudioFormat.OPUS:
        return PlanADetector(sample_rate)
    if audio_format is AudioFormat.PCM16:
        return Pcm16Detector(sample_rate, rules)
    raise WireError(ErrorCode.UNSUPPORTED_FORMAT, "a stream is pcm16 or opus; wav is for whole utterances")


def format_of(payload: Payload) -> AudioFormat:
    """Tell Plan A Opus from bare samples by parsing: a base client never says which of the two it sends."""
    return AudioFormat.OPUS if plan_a.looks_like_plan_a(payload) else AudioFormat.PCM16


def peak(frame: memoryview, stride: int = PEAK_STRIDE) -> int:
    """Find the largest of a frame's samples (each eighth one), as magnitude."""
    samples = frame.cast("h")[::stride]
    highest, lowest = max(samples), min(samples)
    return max(highest, -lowest)


def _webrtc(mode: int, sample_rate: int) -> Callable[[Payload], bool]:
    detector = webrtcvad.Vad(mode)
    return lambda frame: bool(detector.is_speech(frame, sample_rate))


def _loud(_: Payload) -> bool:
    return True


def _peak_of(dbfs: float) -> float:
    return 32_768 * 10 ** (dbfs / 20)


def _packet_is_speech(packet: memoryview) -> bool:
    flag = plan_a.voice_flag(packet)
    if flag is not None:
        return flag
    return len(packet) * 20_000 >= CELT_SILENCE_BYTES * plan_a.packet_us(packet)


def hear_whole(payload: Payload, fresh: Callable[[], VoiceDetector], *, samples: int, enough_ms: int) -> Heard:
    """Judge a whole utterance, only until it is clear that it holds ``enough_ms`` of speech.

    Where it is loudest is judged first; if that is not enough, all of it, from the beginning. ``fresh`` makes a
    detector; ``samples`` is the utterance's length, which the caller knows from its format.

    :raises WireError: ``UNSUPPORTED_FORMAT``, as :meth:`VoiceDetector.hear`.
    """
    detector = fresh()
    if isinstance(detector, PlanADetector):
        return detector.hear(payload)
    view, enough = memoryview(payload), samples_of_ms(enough_ms, detector.sample_rate)
    step = samples_of_ms(WHOLE_STEP_MS, detector.sample_rate) * SAMPLE_BYTES
    if len(view) % SAMPLE_BYTES == 0 and len(view) > step:
        at = _loudest(view, step)
        speech = _speech_of(view[at : at + 2 * step], fresh(), step, enough)
        if speech >= enough:
            return Heard(samples, speech, 0)
    return Heard(samples, _speech_of(view, detector, step, enough), 0)


def _speech_of(view: memoryview, detector: VoiceDetector, step: int, enough: int) -> int:
    """Count speech, step by step, until there is enough."""
    speech = 0
    for start in range(0, len(view), step):
        speech += detector.hear(view[start : start + step]).speech
        if speech >= enough:
            break
    return speech


def _loudest(view: memoryview, step: int) -> int:
    """Find where the loudest step of the beginning starts."""
    starts = range(0, min(len(view), step * LOUDEST_WITHIN_MS // WHOLE_STEP_MS), step)
    return max(starts, key=lambda start: peak(view[start : start + step], LOUDEST_STRIDE))
