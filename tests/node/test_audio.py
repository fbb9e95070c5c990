from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingua_node import audio
from lingua_node.engines.base import EngineError, Speech
from lingua_wire import plan_a
from lingua_wire.audio import AudioFormat, parse_wav, write_wav
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from kit.samples import Sample


def tone(samples: int, rate: int = 16_000, hertz: float = 440.0) -> bytes:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.int16).tobytes()


def likeness(one: bytes, other: bytes, max_delay: int = 400) -> float:
    """Give the best correlation over small delays: Opus shifts what it encodes."""
    left, right = (np.frombuffer(pcm, np.int16).astype(float) for pcm in (one, other))
    start, length = len(left) // 3, len(left) // 3
    loud = left[start : start + length]
    found = (np.corrcoef(loud, right[start + delay : start + delay + length])[0, 1] for delay in range(max_delay))
    return float(max(found))


def test_opus_comes_back_as_it_was_said(english_samples: list[Sample]) -> None:
    pcm = english_samples[0].pcm[: 16_000 * 2]
    packed = audio.encode(Speech(pcm, 16_000), AudioFormat.OPUS, 16_000)
    assert plan_a.looks_like_plan_a(packed)
    assert len(packed) < len(pcm) / 5
    unpacked = audio.decode(packed, AudioFormat.OPUS, 16_000)
    assert len(unpacked) == plan_a.payload_samples(packed, 16_000) * 2
    assert likeness(pcm, unpacked) > 0.9


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_the_tone_and_the_exact_length(rate: int) -> None:
    resampled = audio.resample(Speech(tone(rate, rate), rate), 16_000)
    assert len(resampled.pcm) == 16_000 * 2
    assert likeness(tone(16_000), resampled.pcm) > 0.98


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5000), st.sampled_from([8_000, 16_000, 24_000, 48_000]), st.sampled_from([8_000, 16_000, 22_050]))
def test_the_length_after_resampling_is_exact(samples: int, source: int, target: int) -> None:
    assert len(audio.resample(Speech(bytes(samples * 2), source), target).pcm) == samples * target // source * 2


def test_a_stereo_file_becomes_mono() -> None:
    left = np.frombuffer(tone(16_000), np.int16)
    both = np.stack([left, np.zeros_like(left)], axis=1).tobytes()
    pcm = audio.decode(write_wav(both, 16_000, 2), AudioFormat.WAV, 16_000)
    assert np.abs(np.frombuffer(pcm, np.int16) - left // 2).max() <= 1


def test_a_wav_answer_has_the_rate_it_was_asked_for() -> None:
    wav = parse_wav(audio.encode(Speech(tone(22_050, 22_050), 22_050), AudioFormat.WAV, 16_000))
    assert (wav.sample_rate, wav.samples) == (16_000, 16_000)


@pytest.mark.parametrize("audio_format", list(AudioFormat))
def test_no_audio_is_no_error_and_no_sound(audio_format: AudioFormat) -> None:
    empty = write_wav(b"", 16_000) if audio_format is AudioFormat.WAV else b""
    assert audio.decode(empty, audio_format, 16_000) == b""
    assert audio.resample(Speech(b"", 22_050), 16_000) == Speech(b"", 16_000)


@pytest.mark.parametrize(
    ("bad", "audio_format"),
    [
        (b"\x05\x00abc", AudioFormat.OPUS),
        (plan_a.join([b"\xff\xff\xff\xff\xff"]), AudioFormat.OPUS),
        (b"RIFF....", AudioFormat.WAV),
        (b"\0\0\0", AudioFormat.PCM16),
    ],
)
def test_bad_audio_is_an_error_with_its_code(bad: bytes, audio_format: AudioFormat) -> None:
    with pytest.raises(EngineError) as raised:
        audio.decode(bad, audio_format, 16_000)
    assert raised.value.code is ErrorCode.UNSUPPORTED_FORMAT


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(list(AudioFormat)), st.sampled_from([8_000, 16_000, 48_000]))
def test_arbitrary_bytes_give_samples_or_a_typed_error(data: bytes, audio_format: AudioFormat, rate: int) -> None:
    try:
        assert len(audio.decode(data, audio_format, rate)) % 2 == 0
    except EngineError as error:
        found = error.code
    else:
        found = ErrorCode.UNSUPPORTED_FORMAT
    assert found is ErrorCode.UNSUPPORTED_FORMAT


def test_more_than_two_minutes_are_refused() -> None:
    with pytest.raises(EngineError) as raised:
        audio.decode(bytes(16_000 * 2 * 121), AudioFormat.PCM16, 16_000)
    assert raised.value.code is ErrorCode.TOO_LARGE
