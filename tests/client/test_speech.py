"""Spoken translations in each format of the protocol become PCM16."""

from __future__ import annotations

import math
import struct
import sys
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from lingua_client.errors import AudioError, ProtocolError
from lingua_client.speech import to_pcm16
from lingua_wire import audio, plan_a

TONE = b"".join(struct.pack("<h", int(9000 * math.sin(n * 2 * math.pi * 500 / 16_000))) for n in range(16_000))


def opus_packets() -> list[bytes]:
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16_000, "mono", "s16"
    encoder.options = {"frame_duration": "20"}
    encoder.time_base = Fraction(1, 16_000)
    encoder.open()
    made = []
    for start in range(0, 16_000, 320):
        piece = np.frombuffer(TONE, np.int16)[start : start + 320].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(piece, "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
        made += [bytes(packet) for packet in encoder.encode(frame)]
    return made + [bytes(packet) for packet in encoder.encode(None)]


def test_bare_samples_stay_as_they_are_at_their_rate() -> None:
    assert to_pcm16(TONE, "pcm16", 22_050) == (TONE, 22_050)
    assert to_pcm16(TONE, "pcm16", None) == (TONE, 16_000)


def test_a_wav_file_gives_its_samples_and_rate() -> None:
    assert to_pcm16(audio.write_wav(TONE, 24_000), "wav", None) == (TONE, 24_000)


def test_a_stereo_wav_file_gives_its_left_channel() -> None:
    stereo = b"".join(TONE[at : at + 2] + b"\0\0" for at in range(0, len(TONE), 2))
    assert to_pcm16(audio.write_wav(stereo, 16_000, 2), "wav", None) == (TONE, 16_000)


def test_plan_a_opus_is_decoded() -> None:
    pcm, rate = to_pcm16(plan_a.join(opus_packets()), "opus", 16_000)
    heard = np.frombuffer(pcm, np.int16).astype(float)
    assert rate == 16_000
    assert len(heard) == pytest.approx(16_000, abs=1000)
    assert float(np.argmax(np.abs(np.fft.rfft(heard)))) * rate / len(heard) == pytest.approx(500, abs=5)


@pytest.mark.parametrize(("speech", "speech_format"), [(b"RIFFxxxx", "wav"), (b"\xff\xff\x01", "opus")])
def test_bytes_that_are_not_their_format_are_a_protocol_error(speech: bytes, speech_format: str) -> None:
    with pytest.raises(ProtocolError):
        to_pcm16(speech, speech_format, None)


def test_opus_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError) as missing:
        to_pcm16(plan_a.join(opus_packets()[:1]), "opus", None)
    assert missing.value.code == "AUDIO_EXTRA_MISSING"
