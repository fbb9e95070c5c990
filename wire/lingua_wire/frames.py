"""Binary frames of the ``binary_audio`` extension, both sockets.

Big-endian, 16 bytes, then the key, then the audio::

    0   version  u8   1
    1   kind     u8   see Kind
    2   flags    u8   bit 0: LAST, the utterance ends with this frame
    3   key_len  u8   0 on the session socket; 1..128 on the node socket
    4   index    u32  stream number (CLIENT_AUDIO: 0) or utterance index
    8   seq      u32  number of the frame in its stream; part number of speech
    12  samples  u32  samples the audio stands for at the stream's rate; 0: not said
    16  key      ...  ASCII job id (node socket only)
    ..  audio    ...

A JSON message whose audio comes in a frame says ``audio_follows: true``; the frame is the next one of its kind with the
same utterance index or job id.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from lingua_wire.catalogue import Direction
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.ids import is_id

VERSION: Final = 1
LAST: Final = 0x01
_HEADER: Final = struct.Struct(">BBBBIII")
HEADER_BYTES: Final = _HEADER.size


class Kind(IntEnum):
    """What a frame carries, and which way it goes."""

    CLIENT_AUDIO = 1
    CLIENT_UTTERANCE = 2
    SERVER_TTS = 3
    JOB_AUDIO = 4
    JOB_TTS = 5


#: Which kinds travel which way.
PLACES: Final = {
    Direction.FROM_CLIENT: frozenset({Kind.CLIENT_AUDIO, Kind.CLIENT_UTTERANCE}),
    Direction.TO_CLIENT: frozenset({Kind.SERVER_TTS}),
    Direction.FROM_NODE: frozenset({Kind.JOB_TTS}),
    Direction.TO_NODE: frozenset({Kind.JOB_AUDIO}),
}
_KINDS: Final = {int(kind): kind for kind in Kind}
_KEYED: Final = frozenset({Kind.JOB_AUDIO, Kind.JOB_TTS})


@dataclass(slots=True)
class Frame:
    """One binary frame; ``audio`` is a view of the received bytes.

    Not frozen, since that makes it three times dearer, and there is one for each 100 ms of each session.
    """

    kind: Kind
    audio: memoryview
    index: int = 0
    seq: int = 0
    samples: int = 0
    last: bool = False
    key: str = ""


def pack(
    kind: Kind,
    audio: bytes | bytearray | memoryview,
    *,
    index: int = 0,
    seq: int = 0,
    samples: int = 0,
    last: bool = False,
    key: str = "",
) -> bytes:
    """Write a frame; ``index``, ``seq`` and ``samples`` are taken modulo 2^32."""
    name = key.encode("ascii")
    mask = 0xFFFFFFFF
    header = _HEADER.pack(VERSION, kind, LAST if last else 0, len(name), index & mask, seq & mask, samples & mask)
    return b"".join((header, name, audio))


def unpack(data: bytes | bytearray | memoryview, direction: Direction | None = None) -> Frame:
    """Read a frame without copying its audio.

    :param direction: who speaks to whom; None: any kind of frame is taken.
    :raises WireError: ``INVALID_MESSAGE`` with close code 1003 when it is not a frame of this version, or of a kind
        that never travels in this direction.
    """
    view = memoryview(data)
    if len(view) < HEADER_BYTES:
        raise _bad(f"a binary frame has at least {HEADER_BYTES} bytes")
    version, kind, flags, key_len, index, seq, samples = _HEADER.unpack_from(view)
    if version != VERSION:
        raise _bad(f"version {version} of binary frames is not known; {VERSION} is")
    if flags & ~LAST:
        raise _bad("a reserved flag of the binary frame is set")
    known = _KINDS.get(kind)
    if known is None:
        raise _bad(f"binary frames of kind {kind} are not known")
    if direction is not None and known not in PLACES[direction]:
        raise _bad(f"binary frames of kind {kind} do not go from {direction}")
    start = HEADER_BYTES + key_len
    return Frame(
        known, view[start:], index, seq, samples, bool(flags & LAST), _key(known, view[HEADER_BYTES:start], key_len)
    )


def _key(kind: Kind, raw: memoryview, key_len: int) -> str:
    if kind not in _KEYED:
        if key_len:
            raise _bad("a frame of this kind has no key")
        return ""
    key = bytes(raw).decode("ascii", "replace")
    if len(raw) != key_len or not is_id(key):
        raise _bad("the job id of the binary frame is not an id")
    return key


def _bad(message: str) -> WireError:
    return WireError(ErrorCode.INVALID_MESSAGE, message, close=CloseCode.WRONG_FRAME_KIND)
