"""Translated speech in the form that a client can play. Pure; nothing is decoded but WAV headers."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from math import gcd
from typing import TYPE_CHECKING

from lingua_wire.audio import SAMPLE_RATE, AudioFormat, decode_base64, encode_base64, parse_wav
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from lingua_wire.node_messages import JobResult


@dataclass(frozen=True, slots=True)
class Speech:
    """Speech as bytes or as base64, whichever was there first: the other is made only if needed."""

    audio_format: str
    sample_rate: int
    raw: bytes | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)

    @property
    def empty(self) -> bool:
        """Tell whether there is none."""
        return not self.raw and not self.text

    def as_bytes(self) -> bytes:
        """Give the bytes.

        :raises WireError: the node's base64 is none.
        """
        return self.raw if self.raw is not None else decode_base64(self.text or "")

    def as_base64(self) -> str:
        """Give base64, as it came where it came so."""
        return self.text if self.text is not None else encode_base64(self.raw or b"")


def speech_of(result: JobResult, frame: bytes | None, *, bare: bool, as_bytes: bool = False) -> Speech:
    """Take the speech of a result; what a node sent as speech and is none counts as no speech, its text still counts.

    A WAV header is taken off, since most players take it for noise.

    :param bare: the client plays bare samples at 16 kHz only.
    :param as_bytes: bytes are wanted, so base64 is read now.
    """
    told = (result.tts_format or AudioFormat.PCM16).lower()
    speech = Speech(told, result.tts_sample_rate or SAMPLE_RATE, frame, None if frame is not None else result.tts_audio)
    if speech.empty:
        return speech
    try:
        if told != AudioFormat.OPUS:
            speech = _bare(speech, at_16k=bare)
        return replace(speech, raw=speech.as_bytes(), text=None) if as_bytes else speech
    except WireError:
        return Speech(AudioFormat.PCM16, SAMPLE_RATE, b"")


def _bare(speech: Speech, *, at_16k: bool) -> Speech:
    if speech.audio_format == AudioFormat.WAV or _begins_as_wav(speech):
        wav = parse_wav(speech.as_bytes())
        pcm = bytes(wav.pcm) if wav.channels == 1 else _samples(bytes(wav.pcm))[::2].tobytes()
        speech = Speech(AudioFormat.PCM16, wav.sample_rate, pcm)
    if at_16k and speech.sample_rate != SAMPLE_RATE:
        return Speech(AudioFormat.PCM16, SAMPLE_RATE, resampled(speech.as_bytes(), speech.sample_rate))
    return speech


def _begins_as_wav(speech: Speech) -> bool:
    return (speech.raw or b"")[:4] == b"RIFF" or (speech.text or "")[:5] == "UklGR"


def resampled(pcm: bytes, sample_rate: int) -> bytes:
    """Bring samples to 16 kHz on straight lines: only for the rare node that does not speak at 16 kHz itself.

    The two rates meet after few samples (three of 24 kHz are two of 16 kHz), so the places between two samples repeat;
    all of one kind are made in one pass.
    """
    samples = _samples(pcm)
    if len(samples) < 2:
        return b""
    count = len(samples) * SAMPLE_RATE // sample_rate
    common = gcd(SAMPLE_RATE, sample_rate)
    phases, step = SAMPLE_RATE // common, sample_rate // common
    samples.append(samples[-1])
    out = array("h", bytes(2 * count))
    for phase in range(min(phases, count)):
        left, part = divmod(phase * step, phases)
        here = samples[left::step][: len(range(phase, count, phases))]
        if part:
            pairs = zip(here, samples[left + 1 :: step], strict=False)
            here = array("h", [one + ((two - one) * part) // phases for one, two in pairs])
        out[phase::phases] = here
    return out.tobytes()


def _samples(pcm: bytes) -> array[int]:
    return array("h", pcm[: len(pcm) // 2 * 2])
