"""Audio as bytes: formats, durations, WAV headers, base64. Nothing is decoded or resampled here."""

from __future__ import annotations

import struct
from binascii import Error as Base64Error
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import pybase64

from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The sample rate of the protocol where none is named.
SAMPLE_RATE: Final = 16_000
SAMPLE_BYTES: Final = 2
MIN_RATE: Final = 8_000
MAX_RATE: Final = 48_000
#: Chunks looked at in a WAV file; real ones have fewer than ten.
_MAX_CHUNKS: Final = 64


class AudioFormat(StrEnum):
    """How audio is packed: bare 16-bit samples, a WAV file of them, or Opus packets framed as Plan A."""

    PCM16 = "pcm16"
    WAV = "wav"
    OPUS = "opus"


@dataclass(frozen=True, slots=True)
class Wav:
    """A WAV file of 16-bit samples; ``pcm`` is a view of the file, channels interleaved."""

    sample_rate: int
    channels: int
    pcm: memoryview

    @property
    def samples(self) -> int:
        """Count the samples of one channel."""
        return len(self.pcm) // (SAMPLE_BYTES * self.channels)


def ms_of_samples(samples: int, sample_rate: int = SAMPLE_RATE) -> int:
    """Convert samples to whole milliseconds, rounded down."""
    return samples * 1000 // sample_rate


def samples_of_ms(ms: int, sample_rate: int = SAMPLE_RATE) -> int:
    """Convert milliseconds to whole samples, rounded down."""
    return ms * sample_rate // 1000


def decode_base64(text: str | bytes) -> bytes:
    """Decode base64 strictly (RFC 4648 4): no foreign characters, whole padding.

    :raises WireError: ``INVALID_MESSAGE`` when it is not base64.
    """
    try:
        return pybase64.b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise WireError(ErrorCode.INVALID_MESSAGE, "the audio is not valid base64") from error


def encode_base64(data: bytes | bytearray | memoryview) -> str:
    """Encode as base64 (RFC 4648 4), as ASCII text."""
    return pybase64.b64encode_as_string(data)


def parse_wav(data: bytes | bytearray | memoryview) -> Wav:
    """Read a WAV file of 16-bit PCM; declared sizes are never trusted beyond the bytes that are there.

    :raises WireError: ``UNSUPPORTED_FORMAT``, saying what was found and what is wanted.
    """
    view = memoryview(data)
    if len(view) < 12 or bytes(view[:4]) != b"RIFF" or bytes(view[8:12]) != b"WAVE":
        raise _unsupported("not a WAV file")
    rate, channels = 0, 0
    for name, body in _chunks(view):
        if name == b"fmt ":
            rate, channels = _wav_format(body)
        elif name == b"data":
            if not rate:
                raise _unsupported("the data of the WAV file comes before its format")
            frame_bytes = SAMPLE_BYTES * channels
            return Wav(rate, channels, body[: len(body) // frame_bytes * frame_bytes])
    raise _unsupported("the WAV file has no data")


def write_wav(pcm: bytes | bytearray | memoryview, sample_rate: int, channels: int = 1) -> bytes:
    """Put a WAV header before 16-bit samples."""
    frame_bytes = SAMPLE_BYTES * channels
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(pcm),
        b"WAVE",
        b"fmt ",
        16,
        1,
        channels,
        sample_rate,
        sample_rate * frame_bytes,
        frame_bytes,
        16,
        b"data",
        len(pcm),
    )
    return header + bytes(pcm)


def _chunks(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Walk the chunks. Writers that can't know the length declare more data than there is, or none."""
    at = 12
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(view):
            return
        name, size = bytes(view[at : at + 4]), int.from_bytes(view[at + 4 : at + 8], "little")
        if name == b"data" and size == 0:
            size = len(view)
        yield name, view[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _wav_format(body: memoryview) -> tuple[int, int]:
    if len(body) < 16:
        raise _unsupported("the format chunk of the WAV file is cut short")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == 0xFFFE and len(body) >= 26:  # WAVE_FORMAT_EXTENSIBLE keeps the true tag further back
        tag = int.from_bytes(body[24:26], "little")
    if tag != 1 or bits != 16:
        raise _unsupported(f"the WAV file holds {bits}-bit audio of kind {tag}")
    if channels not in (1, 2):
        raise _unsupported(f"the WAV file has {channels} channels")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise _unsupported(f"the WAV file has {rate} samples a second")
    return rate, channels


def _unsupported(found: str) -> WireError:
    return WireError(
        ErrorCode.UNSUPPORTED_FORMAT, f"{found}; send 16-bit PCM, mono or stereo, {MIN_RATE} to {MAX_RATE} Hz"
    )
