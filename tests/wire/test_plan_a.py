from __future__ import annotations

import math
import struct
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_wire import plan_a
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

RATE = 16_000
BUFFER = st.binary(max_size=300)


def voice(ms: int) -> Any:
    """Make something that the encoder takes for a voice: syllables of 300 ms, a buzz of 120 Hz, with 200 ms between."""
    at = np.arange(ms * RATE // 1000) / RATE
    buzz = sum(np.sin(2 * math.pi * 120 * number * at) / number for number in range(1, 30))
    return (buzz * (at % 0.5 < 0.3) * 6000).astype(np.int16)


@cache
def encoded(kind: str, *, ms: int = 20, application: str = "voip", rate: int = 24_000) -> tuple[bytes, ...]:
    """Encode a second of voice or silence with libopus."""
    pcm = voice(1000) if kind == "voice" else np.zeros(RATE, np.int16)
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = RATE, "mono", "s16", rate
    codec.time_base = Fraction(1, RATE)
    codec.options = {"application": application, "frame_duration": str(ms)}
    codec.open()
    size = ms * RATE // 1000
    packets = []
    for start in range(0, len(pcm) - size + 1, size):
        frame = av.AudioFrame.from_ndarray(pcm[start : start + size].reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts = RATE, start
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return tuple(packets)


@pytest.mark.parametrize("ms", [10, 20, 40, 60])
@pytest.mark.parametrize("application", ["voip", "audio"])
def test_real_packets_have_the_length_they_were_made_with(ms: int, application: str) -> None:
    packets = encoded("voice", ms=ms, application=application)
    assert {plan_a.packet_us(packet) for packet in packets} == {ms * 1000}
    assert plan_a.payload_samples(plan_a.join(packets), RATE) == len(packets) * ms * RATE // 1000


def test_thirteen_packets_are_a_chunk_of_260_ms() -> None:
    chunk = plan_a.join(encoded("voice")[:13])
    assert plan_a.payload_samples(chunk, RATE) == 260 * 16
    assert plan_a.payload_samples(chunk, 48_000) == 260 * 48


@pytest.mark.parametrize("ms", [10, 20, 40, 60])
def test_the_voice_flag_tells_voice_from_silence(ms: int) -> None:
    flags = [plan_a.voice_flag(packet) for packet in encoded("voice", ms=ms, rate=16_000)]
    middles = [(number * ms + ms / 2) % 500 for number in range(len(flags))]
    spoken = [flag for flag, middle in zip(flags, middles, strict=True) if 60 < middle < 290]
    silent = [flag for flag, middle in zip(flags, middles, strict=True) if middle > 400]
    assert spoken.count(True) > 0.9 * len(spoken)
    assert silent.count(False) > 0.9 * len(silent)


def test_the_voice_flag_of_pure_silence_is_never_set() -> None:
    assert {plan_a.voice_flag(packet) for packet in encoded("silence", rate=16_000)} == {False}


def test_packets_without_a_silk_layer_say_nothing_about_voice() -> None:
    packets = encoded("voice", application="lowdelay")
    assert {plan_a.voice_flag(packet) for packet in packets} == {None}


@pytest.mark.parametrize("packet", [b"\x48", b"\x48\xff", b"\xf8\xff"])
def test_a_packet_of_one_or_two_bytes_is_silence(packet: bytes) -> None:
    assert plan_a.voice_flag(packet) is False


@pytest.mark.parametrize(
    ("toc", "frames", "us"),
    [
        (0, 1, 10_000),
        (3, 1, 60_000),
        (9, 1, 20_000),
        (11, 2, 120_000),
        (12, 1, 10_000),
        (15, 2, 40_000),
        (16, 1, 2_500),
        (31, 2, 40_000),
    ],
)
def test_the_first_byte_tells_the_length(toc: int, frames: int, us: int) -> None:
    assert plan_a.packet_us(bytes([toc << 3 | (frames - 1), 1, 2, 3, 4])) == us


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes([9 << 3]) + bytes(1276),
        bytes([9 << 3 | 1, 0]),
        bytes([9 << 3 | 1]) + bytes(2 * 1276),
        bytes([9 << 3 | 2]),
        bytes([9 << 3 | 2, 5, 0]),
        bytes([9 << 3 | 2, 252]),
        bytes([9 << 3 | 3]),
        bytes([9 << 3 | 3, 0]),
        bytes([9 << 3 | 3, 7]) + bytes(7),
        bytes([9 << 3 | 3, 2]) + bytes(3),
        bytes([9 << 3 | 3, 0x82, 200, 0]),
        bytes([9 << 3 | 3, 0x41, 255]),
        bytes([9 << 3 | 3, 0x41, 9, 0]),
    ],
)
def test_what_breaks_a_rule_of_the_rfc_is_no_packet(packet: bytes) -> None:
    assert plan_a.packet_us(packet) == 0


@pytest.mark.parametrize(
    "packet",
    [
        bytes([9 << 3 | 1, 1, 2]),
        bytes([9 << 3 | 2, 1, 7, 8]),
        bytes([9 << 3 | 3, 2, 1, 2]),
        bytes([9 << 3 | 3, 0x82, 1, 7, 8]),
        bytes([9 << 3 | 3, 0x42, 1, 7, 8, 0]),
    ],
)
def test_two_frames_in_one_packet_are_counted(packet: bytes) -> None:
    assert plan_a.packet_us(packet) == 40_000


@given(st.lists(st.binary(min_size=1, max_size=80).filter(plan_a.packet_us), max_size=20))
def test_joined_packets_come_apart_again(packets: list[bytes]) -> None:
    payload = plan_a.join(packets)
    assert plan_a.packets(payload) == packets
    assert plan_a.looks_like_plan_a(payload) is bool(packets)


def test_samples_are_not_taken_for_packets() -> None:
    noise = np.random.default_rng(7)
    for loudness in (1, 30, 1000, 20_000):
        pcm = noise.normal(0, loudness, RATE).astype(np.int16)
        chunks = [pcm[at : at + 1600].tobytes() for at in range(0, len(pcm), 1600)]
        assert not any(plan_a.looks_like_plan_a(chunk) for chunk in chunks)
    assert not plan_a.looks_like_plan_a(voice(1000).tobytes())
    assert not plan_a.looks_like_plan_a(bytes(3200))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda payload: payload[:-1],
        lambda payload: payload + b"\0",
        lambda payload: b"\0\0" + payload,
        lambda payload: struct.pack("<H", 65_535) + payload,
        lambda payload: payload[:2] + b"\x03" + payload[3:],
    ],
)
def test_a_spoiled_payload_is_refused(spoil: Any) -> None:
    payload = spoil(plan_a.join(encoded("voice")[:13]))
    assert not plan_a.looks_like_plan_a(payload)
    with pytest.raises(WireError) as caught:
        plan_a.packets(payload)
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


@given(BUFFER)
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    plan_a.voice_flag(payload)
    assert 0 <= plan_a.packet_us(payload) <= plan_a.MAX_PACKET_US
    try:
        packets = plan_a.packets(payload)
    except WireError:
        return
    assert plan_a.join(packets) == payload


@pytest.mark.parametrize("packet", [b"\x00", b"\x1f\x02"], ids=["many packets", "long packets"])
def test_a_small_payload_that_stands_for_hours_is_refused(packet: bytes) -> None:
    bomb = plan_a.join([packet]) * (200_000 // (len(packet) + 2))
    with pytest.raises(WireError) as caught:
        plan_a.packets(bomb)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert caught.value.close is None


def test_two_minutes_of_usual_packets_are_taken() -> None:
    assert len(plan_a.packets(plan_a.join(encoded("voice")) * 120)) == 6_000
