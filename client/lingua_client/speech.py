"""Spoken translations as they arrive, made PCM16."""

from __future__ import annotations

import importlib.util
from typing import Any

from lingua_client.errors import AudioError, ProtocolError
from lingua_wire import audio, plan_a
from lingua_wire.errors import WireError

#: Opus decodes to one of these rates (RFC 6716 2.1.3); the protocol's speech is 16 kHz.
_OPUS_RATE = 16_000


def to_pcm16(speech: bytes, speech_format: str, sample_rate: int | None) -> tuple[bytes, int]:
    """Give mono PCM16 and its sample rate for speech in a format of the protocol (pcm16, wav, opus).

    :raises AudioError: Opus came, and the ``audio`` extra is not installed.
    :raises ProtocolError: the bytes are not what their format says.
    """
    try:
        if speech_format == audio.AudioFormat.WAV:
            wav = audio.parse_wav(speech)
            return _mono(bytes(wav.pcm), wav.channels), wav.sample_rate
        if speech_format == audio.AudioFormat.OPUS:
            return _decode_opus(plan_a.packets(speech)), _OPUS_RATE
    except WireError as trouble:
        raise ProtocolError("INVALID_MESSAGE", f"speech cannot be read: {trouble.message}") from trouble
    return speech[: len(speech) & ~1], sample_rate or audio.SAMPLE_RATE


def _mono(pcm: bytes, channels: int) -> bytes:
    return pcm if channels == 1 else b"".join(pcm[at : at + 2] for at in range(0, len(pcm), 2 * channels))


def _decode_opus(packets: list[Any]) -> bytes:
    if importlib.util.find_spec("av") is None:
        raise AudioError("AUDIO_EXTRA_MISSING", "the speech came as Opus")
    import av  # noqa: PLC0415 - an extra

    decoder: Any = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = _OPUS_RATE, "mono"
    decoder.open()
    resampler = av.AudioResampler(format="s16", layout="mono", rate=_OPUS_RATE)
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(bytes(packet)))]
    done = [made for frame in [*frames, None] for made in resampler.resample(frame)]
    return b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in done)
