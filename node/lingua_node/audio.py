"""Turn what a job brings into samples for a recogniser, and speech into what the job's client plays.

Opus comes as Plan A: packets of 20 ms behind their lengths (docs/protocol.md). Inside there is one kind of audio only:
mono, signed 16 bit, little endian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
from av.error import FFmpegError

from lingua_node.engines.base import ASR_RATE, EngineError, Speech
from lingua_wire import plan_a
from lingua_wire.audio import AudioFormat, parse_wav, write_wav
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

Samples = np.ndarray[tuple[int, ...], np.dtype[np.int16]]

OPUS_RATE = 16_000
_OPUS_DECODED_RATE = 48_000
_OPUS_FRAME_SAMPLES = 320
_OPUS_BIT_RATE = 24_000
_MAX_SECONDS = 120


def decode(audio: bytes, audio_format: AudioFormat, sample_rate: int) -> bytes:
    """Decode a job's audio to samples at :data:`ASR_RATE`.

    :raises EngineError: UNSUPPORTED_FORMAT for audio that is not what it is said to be, TOO_LARGE beyond two minutes.
    """
    try:
        speech = _DECODERS[audio_format](audio, sample_rate)
    except (WireError, FFmpegError) as error:
        raise EngineError(ErrorCode.UNSUPPORTED_FORMAT, f"bad {audio_format} audio: {error}") from error
    if len(speech.pcm) > _MAX_SECONDS * speech.sample_rate * 2:
        raise EngineError(ErrorCode.TOO_LARGE, f"more than {_MAX_SECONDS} s of audio in one job")
    return resample(speech, ASR_RATE).pcm


def encode(speech: Speech, audio_format: AudioFormat, sample_rate: int) -> bytes:
    """Encode speech for a client; Opus always has :data:`OPUS_RATE`."""
    if audio_format is AudioFormat.OPUS:
        return plan_a.join(opus_packets(resample(speech, OPUS_RATE).pcm))
    resampled = resample(speech, sample_rate)
    if audio_format is AudioFormat.WAV:
        return write_wav(resampled.pcm, sample_rate)
    return resampled.pcm


def resample(speech: Speech, sample_rate: int) -> Speech:
    """Change the sample rate; the length is exact to a sample."""
    if speech.sample_rate == sample_rate or not speech.pcm:
        return Speech(speech.pcm, sample_rate)
    samples = np.frombuffer(speech.pcm, np.int16)
    resampler = av.AudioResampler("s16", "mono", sample_rate)
    frames = [*resampler.resample(_frame(samples, speech.sample_rate)), *resampler.resample(None)]
    length = len(samples) * sample_rate // speech.sample_rate
    return Speech(_exactly(_joined(frames), length).tobytes(), sample_rate)


def silence(duration_ms: int) -> bytes:
    """Give silence at :data:`ASR_RATE`."""
    return bytes(duration_ms * ASR_RATE // 1000 * 2)


def opus_packets(pcm: bytes) -> list[bytes]:
    """Encode samples at :data:`OPUS_RATE` as packets of 20 ms; the last one is filled up with silence."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate = OPUS_RATE
    encoder.layout = "mono"
    encoder.format = "s16"
    encoder.bit_rate = _OPUS_BIT_RATE
    encoder.options = {"frame_duration": "20", "application": "voip"}
    samples = np.frombuffer(pcm, np.int16)
    padded = _exactly(samples, -(-len(samples) // _OPUS_FRAME_SAMPLES) * _OPUS_FRAME_SAMPLES)
    packets: list[bytes] = []
    for at in range(0, len(padded), _OPUS_FRAME_SAMPLES):
        frame = _frame(padded[at : at + _OPUS_FRAME_SAMPLES], OPUS_RATE)
        frame.pts = at
        packets += map(bytes, encoder.encode(frame))
    return [*packets, *map(bytes, encoder.encode(None))] if len(padded) else []


def _from_opus(audio: bytes, sample_rate: int) -> Speech:
    del sample_rate  # Opus decodes to what we ask for, whatever the microphone had
    decoder = av.CodecContext.create("libopus", "r")
    decoder.layout = "mono"
    decoder.format = "s16"
    packets = plan_a.packets(audio)
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(bytes(packet)))]
    speech = resample(Speech(_joined(frames).tobytes(), _OPUS_DECODED_RATE), ASR_RATE)
    length = plan_a.payload_samples(audio, ASR_RATE)
    return Speech(_exactly(np.frombuffer(speech.pcm, np.int16), length).tobytes(), ASR_RATE)


def _from_wav(audio: bytes, sample_rate: int) -> Speech:
    del sample_rate  # the file says its own
    wav = parse_wav(audio)
    if wav.channels == 1:
        return Speech(bytes(wav.pcm), wav.sample_rate)
    both = np.frombuffer(wav.pcm, np.int16).reshape(-1, wav.channels)
    return Speech(both.mean(axis=1).astype(np.int16).tobytes(), wav.sample_rate)


def _from_pcm16(audio: bytes, sample_rate: int) -> Speech:
    if len(audio) % 2:
        raise WireError(ErrorCode.UNSUPPORTED_FORMAT, "an odd number of bytes is not 16-bit audio")
    return Speech(audio, sample_rate)


_DECODERS = {AudioFormat.OPUS: _from_opus, AudioFormat.WAV: _from_wav, AudioFormat.PCM16: _from_pcm16}


def _frame(samples: Samples, sample_rate: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = sample_rate
    return frame


def _joined(frames: Iterable[av.AudioFrame]) -> Samples:
    parts = [frame.to_ndarray()[0].astype(np.int16) for frame in frames]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _exactly(samples: Samples, length: int) -> Samples:
    return samples[:length] if len(samples) >= length else np.pad(samples, (0, length - len(samples)))
