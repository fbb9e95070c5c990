"""Audio from files, bytes and iterators, always as 16 kHz mono PCM16."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
import wave
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from lingua_client.errors import AudioError
from lingua_client.sources import CHUNK_BYTES, chunks, read_file, write_wav

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def tone(seconds: float, rate: int, channels: int = 1) -> bytes:
    wanted = (int(12_000 * math.sin(n * 2 * math.pi * 440 / rate)) for n in range(int(seconds * rate)))
    return b"".join(struct.pack("<h", sample) * channels for sample in wanted)


def pitch_hz(pcm: bytes) -> float:
    wave_ = np.frombuffer(pcm, np.int16).astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(wave_)))) * 16_000 / len(wave_)


def encode(path: Path, codec: str, rate: int = 48_000) -> None:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.frombuffer(tone(1, rate), np.int16).reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def test_a_16_khz_wav_file_is_read_as_it_is(tmp_path: Path) -> None:
    pcm = tone(0.5, 16_000)
    write_wav(tmp_path / "new" / "a.wav", pcm)
    assert read_file(tmp_path / "new" / "a.wav") == pcm


@pytest.mark.parametrize(("name", "codec"), [("a.flac", "flac"), ("a.mp3", "libmp3lame"), ("a.ogg", "libopus")])
def test_any_format_becomes_16_khz_mono(tmp_path: Path, name: str, codec: str) -> None:
    encode(tmp_path / name, codec)
    pcm = read_file(tmp_path / name)
    assert len(pcm) / 32_000 == pytest.approx(1.0, abs=0.1)
    assert pitch_hz(pcm) == pytest.approx(440, abs=3)


def test_a_stereo_wav_of_another_rate_is_converted(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "s.wav"), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(44_100)
        out.writeframes(tone(1, 44_100, channels=2))
    pcm = read_file(tmp_path / "s.wav")
    assert len(pcm) / 32_000 == pytest.approx(1.0, abs=0.02)
    assert pitch_hz(pcm) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not sound at all" * 50])
def test_a_file_that_is_not_sound_has_a_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(AudioError) as refused:
        read_file(tmp_path / "x.wav")
    assert refused.value.code == "BAD_AUDIO"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nowhere\.wav") as refused:
        read_file(tmp_path / "nowhere.wav")
    assert refused.value.code == "NO_SUCH_FILE"


def test_without_the_audio_extra_another_format_says_what_to_install(tmp_path: Path) -> None:
    encode(tmp_path / "a.flac", "flac")
    write_wav(tmp_path / "a.wav", tone(0.1, 16_000))
    program = (
        "import sys; sys.modules['av'] = None\n"
        "from lingua_client.sources import read_file\n"
        "print(len(read_file(sys.argv[1])))\n"
        "try: read_file(sys.argv[2])\n"
        "except Exception as error: print(error.code, error.remedy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.wav", tmp_path / "a.flac"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[0] == "3200"
    assert done.stdout.splitlines()[1].startswith("AUDIO_EXTRA_MISSING Install the extra: pip install 'lingua[audio]'")


async def test_pieces_of_any_length_become_chunks_of_whole_samples() -> None:
    pcm = tone(1, 16_000)

    async def odd_pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(pcm), 777):
            yield pcm[at : at + 777]

    found = [chunk async for chunk in chunks(odd_pieces())]
    assert b"".join(found) == pcm
    assert all(len(chunk) % 2 == 0 and len(chunk) <= CHUNK_BYTES for chunk in found)


async def test_an_odd_number_of_bytes_is_refused() -> None:
    with pytest.raises(AudioError):
        [chunk async for chunk in chunks(b"abc")]
