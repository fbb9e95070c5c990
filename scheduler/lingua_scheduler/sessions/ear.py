"""The audio of one session on its way in: order, pace, format and bounds, then the cutter. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from lingua_scheduler.audio_bound import BufferFullError
from lingua_scheduler.sessions.cutter import Cutter
from lingua_scheduler.sessions.flow import READ_ON, Flow, Verdict
from lingua_scheduler.sessions.pace import PaceWatch
from lingua_scheduler.sessions.sequence import EchoFilter, SeqWindow
from lingua_scheduler.sessions.voice import Heard, detector_of, format_of, hear_whole
from lingua_wire import plan_a
from lingua_wire.audio import AudioFormat, parse_wav
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from lingua_scheduler.audio_bound import AudioBound
    from lingua_scheduler.sessions.cuts import Cut
    from lingua_scheduler.sessions.terms import Terms

    Chunk = bytes | memoryview

_NOTHING: Final[tuple[Cut, ...]] = ()


@dataclass(frozen=True, slots=True)
class WholeAudio:
    """A whole utterance, unpacked: what the node gets, and how long it is in samples of its own rate."""

    audio: bytes
    audio_format: AudioFormat
    sample_rate: int
    samples: int


class Ear:
    """Take chunks; give cuts. ``audio_format`` is what the client really sends."""

    __slots__ = (
        "_bound",
        "_echo",
        "_flow",
        "_held_bytes",
        "_limit_bytes",
        "_ms_per_sample",
        "_pace",
        "_paused",
        "_seq",
        "_sure",
        "audio_format",
        "cutter",
        "sample_rate",
    )

    def __init__(self, terms: Terms, bound: AudioBound, limit_bytes: int, start_sample: int = 0) -> None:
        self.audio_format = terms.audio_format
        self.sample_rate = terms.sample_rate
        self.cutter = Cutter(terms.rules, detector_of(terms.audio_format, terms.sample_rate), None, start_sample)
        self._sure = terms.profile.tells_format
        self._echo = None if terms.profile.in_order else EchoFilter()
        self._flow = Flow(terms.profile.flow)
        self._pace = PaceWatch(terms.sample_rate)
        self._paused = False
        self._seq = SeqWindow()
        self._ms_per_sample = 1000 / terms.sample_rate
        self._bound = bound
        self._limit_bytes = limit_bytes
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Count the audio held for this session: collected, or cut and not yet let go."""
        return self._held_bytes

    def chunk(
        self, seq: int, payload: Chunk, now_ms: int, *, final: bool = False, client_id: str | None = None
    ) -> tuple[Cut, ...]:
        """Take one chunk, empty or not, and the end of the utterance with it; repeats change nothing.

        :raises WireError: it is not audio of the session's format, or there is no room (BUFFER_FULL).
        """
        position = self._seq.accept(seq)
        if position is None and self._is_other(payload):
            position = self._seq.uncounted()
        if position is None:
            return _NOTHING
        cuts = self._append(payload, now_ms, position) if payload else _NOTHING
        if not final:
            return cuts
        self._seq.ended(seq)
        return cuts + self.cutter.finish(now_ms, client_id)

    def _is_other(self, payload: Chunk) -> bool:
        """Tell whether a chunk that is numbered as the one before is another one. Those with extensions do count."""
        return self._echo is not None and not (payload and self._echo.is_last(payload))

    def _append(self, payload: Chunk, now_ms: int, position: int) -> tuple[Cut, ...]:
        if self._echo is not None and self._echo.is_echo(payload):
            return _NOTHING
        size = len(payload)
        self._check_room(size)
        if not self._sure:
            self._find_format(payload)
        cuts = self.cutter.append(payload, now_ms, position)
        self._hold(size)
        return cuts

    def whole(self, audio: WholeAudio, *, manual: bool, min_speech_ms: int, client_id: str | None) -> tuple[Cut, ...]:
        """Take an utterance that the client cut itself.

        :raises WireError: as :meth:`chunk`.
        """
        self._check_room(len(audio.audio))
        fresh = partial(detector_of, audio.audio_format, audio.sample_rate)
        heard = hear_whole(audio.audio, fresh, samples=audio.samples, enough_ms=min_speech_ms)
        self._hold(len(audio.audio))
        return self.cutter.whole(audio.audio, self._at_session_rate(heard, audio), manual=manual, client_id=client_id)

    def pace(self, samples: int, now_ms: int) -> Verdict:
        """Count a message with so much audio (0: none); say what to do before the next one."""
        verdict = self._flow.take(samples * self._ms_per_sample, now_ms) if samples else self._flow.take(0, now_ms)
        if verdict is not READ_ON:
            self._paused = True
        return verdict

    def suspect_rate(self, samples: int, now_ms: int) -> int | None:
        """Return the sample rate that the audio seems to have instead of the one that was said, once."""
        if self.audio_format is not AudioFormat.PCM16:
            return None
        paused, self._paused = self._paused, False
        return self._pace.arrived(samples * self._ms_per_sample, now_ms, paused=paused)

    def expect_again(self, audio_ms: int, now_ms: int) -> None:
        """Let so much audio come faster than it was spoken, over a new socket: the client sends it again."""
        self._seq.restart()
        self._flow.credit(audio_ms)
        self._pace.rest(now_ms + audio_ms)

    def let_go(self, size_bytes: int) -> None:
        """Count audio that is not held any more."""
        self._hold(-size_bytes)

    def _find_format(self, payload: Chunk) -> None:
        """Tell Plan A from bare samples: a client that asked for no extension may send either."""
        found = format_of(payload)
        if found is not self.audio_format and not self.cutter.buffered_bytes:
            self.audio_format = found
            self.cutter.hear_with(detector_of(found, self.sample_rate))
        self._sure = True

    def _check_room(self, size: int) -> None:
        if self._held_bytes + size > self._limit_bytes:
            raise BufferFullError("session", "the session holds as much audio as it may")
        if not self._bound.fits(size):
            raise BufferFullError("instance", "this instance holds as much audio as it may")

    def _hold(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        self._bound.add(size_bytes)

    def _at_session_rate(self, heard: Heard, audio: WholeAudio) -> Heard:
        if audio.sample_rate == self.sample_rate:
            return heard
        factor = self.sample_rate / audio.sample_rate
        return Heard(round(heard.samples * factor), round(heard.speech * factor), round(heard.silence * factor))


def unpack_whole(audio: bytes, audio_format: AudioFormat, sample_rate: int) -> WholeAudio:
    """Check a whole utterance and take a WAV file's header off.

    :raises WireError: UNSUPPORTED_FORMAT, it is not what was said.
    """
    if audio_format is AudioFormat.OPUS:
        return WholeAudio(audio, audio_format, sample_rate, plan_a.payload_samples(audio, sample_rate))
    if audio_format is AudioFormat.WAV:
        wav = parse_wav(audio)
        pcm = bytes(wav.pcm) if wav.channels == 1 else wav.pcm.cast("h")[::2].tobytes()
        return WholeAudio(pcm, AudioFormat.PCM16, wav.sample_rate, wav.samples)
    if len(audio) % 2:
        raise WireError(ErrorCode.UNSUPPORTED_FORMAT, "16-bit samples come in an even number of bytes")
    return WholeAudio(audio, audio_format, sample_rate, len(audio) // 2)


def wrong_rate(rate: int, said: int) -> WireError:
    """Tell a client that its audio is not what it says."""
    return WireError(
        ErrorCode.FORMAT_SUSPECT,
        f"the audio arrives as fast as {rate} Hz would, not {said} Hz: resample it, or say sample_rate {rate}",
        close=CloseCode.AUDIO_FORMAT,
    )
