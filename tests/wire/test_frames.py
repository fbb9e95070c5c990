from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_wire import frames
from lingua_wire.catalogue import Direction
from lingua_wire.codes import CloseCode
from lingua_wire.errors import WireError
from lingua_wire.frames import Frame, Kind

KEYED = {Kind.JOB_AUDIO, Kind.JOB_TTS}
U32 = st.integers(0, 2**32 - 1)
IDS = st.text("abcXYZ019._:-", min_size=1, max_size=128)


@given(kind=st.sampled_from(Kind), audio=st.binary(), index=U32, seq=U32, samples=U32, last=st.booleans(), key=IDS)
def test_a_frame_comes_back_as_it_was_packed(
    kind: Kind, audio: bytes, index: int, seq: int, samples: int, last: bool, key: str
) -> None:
    name = key if kind in KEYED else ""
    packed = frames.pack(kind, audio, index=index, seq=seq, samples=samples, last=last, key=name)
    assert frames.unpack(packed) == Frame(kind, memoryview(audio), index, seq, samples, last, name)


def test_the_bytes_are_those_of_the_page() -> None:
    packed = frames.pack(Kind.JOB_TTS, b"\xaa\xbb", index=1, seq=2, samples=3, last=True, key="j-1")
    assert packed.hex(" ") == "01 05 01 03 00 00 00 01 00 00 00 02 00 00 00 03 6a 2d 31 aa bb"


def test_audio_is_a_view_of_the_bytes_that_came() -> None:
    packed = bytearray(frames.pack(Kind.CLIENT_AUDIO, b"\x00\x00"))
    audio = frames.unpack(packed).audio
    packed[-1] = 7
    assert bytes(audio) == b"\x00\x07"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda raw: b"", "at least 16 bytes"),
        (lambda raw: raw[:15], "at least 16 bytes"),
        (lambda raw: b"\x02" + raw[1:], "version 2"),
        (lambda raw: raw[:1] + b"\x00" + raw[2:], "kind 0"),
        (lambda raw: raw[:1] + b"\x06" + raw[2:], "kind 6"),
        (lambda raw: raw[:2] + b"\x02" + raw[3:], "reserved flag"),
        (lambda raw: raw[:3] + b"\x00" + raw[4:], "job id"),
        (lambda raw: raw[:3] + b"\xff" + raw[4:], "job id"),
        (lambda raw: raw[:17], "job id"),
        (lambda raw: raw[:16] + b"a b" + raw[19:], "job id"),
        (lambda raw: raw[:16] + b"\xff\xff\xff" + raw[19:], "job id"),
        (lambda raw: raw[:1] + b"\x01" + raw[2:], "no key"),
    ],
)
def test_a_broken_frame_is_refused_with_1003(change: object, reason: str) -> None:
    assert callable(change)
    packed = frames.pack(Kind.JOB_AUDIO, b"\x01\x02", key="j-1")
    with pytest.raises(WireError, match=reason) as caught:
        frames.unpack(change(packed))
    assert caught.value.close is CloseCode.WRONG_FRAME_KIND


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("kind", list(Kind))
def test_a_kind_of_frame_travels_one_way_only(direction: Direction, kind: Kind) -> None:
    packed = frames.pack(kind, b"", key="j" if kind in KEYED else "")
    if kind in frames.PLACES[direction]:
        assert frames.unpack(packed, direction).kind is kind
    else:
        with pytest.raises(WireError, match=f"kind {int(kind)} do not go from {direction}"):
            frames.unpack(packed, direction)


def test_every_kind_has_exactly_one_place() -> None:
    assert sorted(kind for kinds in frames.PLACES.values() for kind in kinds) == list(Kind)


@given(st.binary(max_size=200) | st.binary(max_size=180).map(lambda rest: b"\x01\x04\x00\x02" + rest))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        frame = frames.unpack(raw)
    except WireError:
        return
    assert frames.HEADER_BYTES + len(frame.key) + len(frame.audio) == len(raw)
