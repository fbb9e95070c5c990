"""The frames that the node and its decoder processes send each other over pipes.

A frame is its kind (one byte), the length of its body (four bytes, little endian) and the body.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

STEP_SAMPLES = 1_600
"""How much is decoded between two looks at the input: 100 ms."""

_HEADER = struct.Struct("<BI")
HEADER_BYTES = _HEADER.size


class Kind(IntEnum):
    """What a frame says. The first four go to the decoder, the others come back."""

    LOAD = 1
    HEAR = 2
    STOP = 3
    READY = 10
    PARTIAL = 11
    RESULT = 12
    FAILED = 13


@dataclass(frozen=True, slots=True)
class PipeFrame:
    """One frame."""

    kind: Kind
    body: bytes


class Readable(Protocol):
    """A pipe that gives whole bodies: fewer bytes than asked for only at its end."""

    def read(self, size: int) -> bytes:
        """Read ``size`` bytes."""
        ...

    def fileno(self) -> int:
        """Name the file for ``select``."""
        ...


def pack(kind: Kind, body: bytes = b"") -> bytes:
    """Write a frame."""
    return _HEADER.pack(kind, len(body)) + body


def unpack_header(header: bytes) -> tuple[Kind, int]:
    """Read the kind of a frame and the length of its body.

    :raises ValueError: this is no frame.
    """
    kind, length = _HEADER.unpack(header)
    return Kind(kind), length


def read(pipe: Readable) -> PipeFrame | None:
    """Wait for a frame; None when the pipe was closed."""
    header = pipe.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    kind, length = unpack_header(header)
    body = pipe.read(length)
    return PipeFrame(kind, body) if len(body) == length else None
