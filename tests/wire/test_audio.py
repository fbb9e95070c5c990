from __future__ import annotations

import struct
import wave
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_wire.audio import (
    decode_base64,
    encode_base64,
    ms_of_samples,
    parse_wav,
    samples_of_ms,
    write_wav,
)
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

PCM = bytes(range(64))
RATES = st.integers(8_000, 48_000)


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body


def riff(*chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + b"".join(chunks)


def form(tag: int = 1, channels: int = 1, rate: int = 16_000, bits: int = 16, extra: bytes = b"") -> bytes:
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits) + extra)


def reason(data: bytes) -> str:
    with pytest.raises(WireError) as caught:
        parse_wav(data)
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT
    return caught.value.message


@given(samples=st.integers(0, 2_000), channels=st.integers(1, 2), rate=RATES)
def test_a_wav_file_comes_back_as_it_was_written(samples: int, channels: int, rate: int) -> None:
    pcm = bytes(2 * channels * samples)
    wav = parse_wav(write_wav(pcm, rate, channels))
    assert (wav.sample_rate, wav.channels, bytes(wav.pcm), wav.samples) == (rate, channels, pcm, samples)


def test_the_standard_library_reads_what_is_written() -> None:
    with wave.open(BytesIO(write_wav(PCM, 22_050, 2))) as file:
        assert file.getparams()[:4] == (2, 2, 22_050, len(PCM) // 4)
        assert file.readframes(100) == PCM


def test_a_file_of_the_standard_library_is_read() -> None:
    target = BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(PCM)
    assert bytes(parse_wav(target.getvalue()).pcm) == PCM


@pytest.mark.parametrize("size", [0, len(PCM) + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_declared_size_is_not_trusted(size: int) -> None:
    assert bytes(parse_wav(riff(form(), chunk(b"data", PCM, size))).pcm) == PCM


def test_other_chunks_are_passed_over() -> None:
    data = riff(
        chunk(b"JUNK", b"odd"), b"\0", form(), chunk(b"LIST", b"even"), chunk(b"data", PCM), chunk(b"id3 ", b"")
    )
    assert bytes(parse_wav(data).pcm) == PCM


def test_half_a_sample_at_the_end_is_left_out() -> None:
    assert bytes(parse_wav(riff(form(channels=2), chunk(b"data", PCM[:7]))).pcm) == PCM[:4]


def test_the_extensible_form_of_pcm_is_read() -> None:
    extra = struct.pack("<HHI", 22, 16, 0) + bytes.fromhex("0100000000001000800000aa00389b71")
    assert parse_wav(riff(form(tag=0xFFFE, extra=extra), chunk(b"data", PCM))).samples == 32


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", "not a WAV file"),
        (b"RIFF", "not a WAV file"),
        (b"OggS" + bytes(100), "not a WAV file"),
        (riff(), "has no data"),
        (riff(form()), "has no data"),
        (riff(chunk(b"data", PCM)), "before its format"),
        (riff(chunk(b"fmt ", b"\1\0"), chunk(b"data", PCM)), "cut short"),
        (riff(form(tag=3, bits=32), chunk(b"data", PCM)), "32-bit audio of kind 3"),
        (riff(form(bits=8), chunk(b"data", PCM)), "8-bit"),
        (riff(form(channels=0), chunk(b"data", PCM)), "0 channels"),
        (riff(form(channels=6), chunk(b"data", PCM)), "6 channels"),
        (riff(form(rate=4_000), chunk(b"data", PCM)), "4000 samples a second"),
        (riff(form(rate=0), chunk(b"data", PCM)), "0 samples a second"),
        (riff(*[chunk(b"JUNK", b"")] * 100_000, form(), chunk(b"data", PCM)), "has no data"),
    ],
)
def test_what_is_no_pcm16_wav_is_refused_with_what_is_wanted(data: bytes, wanted: str) -> None:
    found = reason(data)
    assert wanted in found
    assert "send 16-bit PCM, mono or stereo" in found


@given(st.binary(max_size=200) | st.binary(max_size=150).map(lambda rest: riff(form(), rest)))
def test_any_bytes_are_read_as_wav_or_refused(data: bytes) -> None:
    try:
        wav = parse_wav(data)
    except WireError:
        return
    assert len(wav.pcm) <= len(data)
    assert len(wav.pcm) % (2 * wav.channels) == 0


@given(st.binary(max_size=300))
def test_base64_comes_back(data: bytes) -> None:
    assert decode_base64(encode_base64(data)) == data
    assert decode_base64(encode_base64(memoryview(data))) == data


@pytest.mark.parametrize("text", ["A", "AAA", "AA==A", "A A=", "AAA\n", "-_-_", "AAAA=", "é", "=", "A===", "AA="])
def test_base64_is_read_strictly(text: str) -> None:
    with pytest.raises(WireError, match="not valid base64"):
        decode_base64(text)


@given(ms=st.integers(0, 10**7), rate=RATES)
def test_milliseconds_survive_as_samples_but_for_rounding(ms: int, rate: int) -> None:
    assert ms - 1 <= ms_of_samples(samples_of_ms(ms, rate), rate) <= ms
