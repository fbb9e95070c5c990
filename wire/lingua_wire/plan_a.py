"""Plan A: Opus packets one after the other, each behind its length as an unsigned 16-bit little-endian number.

What is read from a packet without decoding it comes from RFC 6716: its duration from the TOC byte (section 3.1), and
for SILK the encoder's own voice-activity flag, which is the first bit of the SILK frame (section 4.2.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: No Opus packet is longer than 120 ms (RFC 6716 3.2.5, R5).
MAX_PACKET_US: Final = 120_000
MAX_FRAME_BYTES: Final = 1275
#: What one payload may hold. A packet of two bytes may stand for 120 ms, so a bound on bytes alone would let a small
#: message keep a scheduler busy for seconds and a decoder for hours.
MAX_PACKETS: Final = 15_000
MAX_PAYLOAD_US: Final = 300_000_000
#: A packet of at most two bytes is what an encoder in DTX sends for silence (RFC 6716 3.1, RFC 7587 3.1.3).
DTX_BYTES: Final = 2
_LENGTH_BYTES: Final = 2
_VBR: Final = 0x80
_PADDED: Final = 0x40
_SILK_US: Final = (10_000, 20_000, 40_000, 60_000)
_HYBRID_US: Final = (10_000, 20_000)
_CELT_US: Final = (2_500, 5_000, 10_000, 20_000)


def packets(payload: bytes | bytearray | memoryview) -> list[memoryview]:
    """Split a payload into its packets, as views.

    :raises WireError: ``UNSUPPORTED_FORMAT`` when the lengths do not fill the payload exactly, or a packet is empty or
        can't be Opus; ``TOO_LARGE`` beyond :data:`MAX_PACKETS` or :data:`MAX_PAYLOAD_US`.
    """
    found: list[memoryview] = []
    total_us = 0
    for packet in _packets(memoryview(payload)):
        duration_us = packet_us(packet)
        if duration_us == 0:
            raise WireError(ErrorCode.UNSUPPORTED_FORMAT, "a packet of the payload is not Opus")
        total_us += duration_us
        if total_us > MAX_PAYLOAD_US or len(found) >= MAX_PACKETS:
            raise WireError(ErrorCode.TOO_LARGE, f"a payload holds at most {MAX_PAYLOAD_US // 1_000_000} s of Opus")
        found.append(packet)
    return found


def join(parts: Iterable[bytes | bytearray | memoryview]) -> bytes:
    """Put packets behind their lengths."""
    return b"".join(piece for part in parts for piece in (len(part).to_bytes(_LENGTH_BYTES, "little"), part))


def looks_like_plan_a(payload: bytes | bytearray | memoryview) -> bool:
    """Tell Plan A from bare samples: the lengths fill the payload exactly, and each packet can be Opus."""
    try:
        return bool(packets(payload))
    except WireError:
        return False


def payload_samples(payload: bytes | bytearray | memoryview, sample_rate: int) -> int:
    """Count the samples that a payload decodes to at ``sample_rate``.

    :raises WireError: as :func:`packets`.
    """
    return sum(packet_us(packet) for packet in packets(payload)) * sample_rate // 1_000_000


def packet_us(packet: bytes | bytearray | memoryview) -> int:
    """Tell how long a packet sounds, in microseconds; 0 when it can't be Opus."""
    if not packet:
        return 0
    duration = _frame_us(packet[0] >> 3) * _frame_count(packet)
    return duration if duration <= MAX_PACKET_US else 0


def voice_flag(packet: bytes | bytearray | memoryview) -> bool | None:
    """Read the encoder's own judgement whether a packet holds speech; None when it says nothing (CELT only).

    The flag of the first SILK frame of the first channel is the first bit after the TOC byte (for packets of one
    frame, code 0); it is coded with probability one half, so it is the bit itself. Of a packet with several Opus
    frames the first one speaks for all.
    """
    if len(packet) <= DTX_BYTES:
        return False
    if packet[0] >> 3 >= 16:
        return None
    at = _first_frame(packet)
    if at >= len(packet):
        return False
    frames = _silk_frames(packet[0] >> 3)
    return packet[at] >> (8 - frames) != 0


def _packets(view: memoryview) -> Iterator[memoryview]:
    at = 0
    while at < len(view):
        start = at + _LENGTH_BYTES
        size = int.from_bytes(view[at:start], "little")
        if start > len(view) or size == 0 or start + size > len(view):
            raise WireError(ErrorCode.UNSUPPORTED_FORMAT, "the packet lengths do not fill the payload")
        yield view[start : start + size]
        at = start + size


def _frame_us(configuration: int) -> int:
    if configuration < 12:
        return _SILK_US[configuration % 4]
    if configuration < 16:
        return _HYBRID_US[configuration % 2]
    return _CELT_US[configuration % 4]


def _frame_count(packet: bytes | bytearray | memoryview) -> int:
    """Count the Opus frames of a packet; 0 when it breaks a rule of RFC 6716 3.4."""
    code, body = packet[0] & 3, len(packet) - 1
    if code == 0:
        return 1 if body <= MAX_FRAME_BYTES else 0
    if code == 1:
        return 2 if body % 2 == 0 and body // 2 <= MAX_FRAME_BYTES else 0
    if code == 2:
        first, start = _frame_bytes(packet, 1)
        return 2 if 0 <= len(packet) - start - first <= MAX_FRAME_BYTES else 0
    return _count_of_many(packet)


def _count_of_many(packet: bytes | bytearray | memoryview) -> int:
    """Count the frames of a packet of code 3 (RFC 6716 3.2.5)."""
    if len(packet) < 2:
        return 0
    count = packet[1] & 0x3F
    start, padding = _after_padding(packet)
    sizes = 0
    if packet[1] & _VBR:
        for _ in range(count - 1):
            size, start = _frame_bytes(packet, start)
            sizes += size
    rest = len(packet) - padding - start - sizes
    even = packet[1] & _VBR or (count and rest % count == 0)
    return count if rest >= 0 and even else 0


def _after_padding(packet: bytes | bytearray | memoryview) -> tuple[int, int]:
    """Find where the lengths of a packet of code 3 begin, and how many bytes of padding it ends with."""
    at, padding = 2, 0
    if packet[1] & _PADDED:
        while at < len(packet) and packet[at] == 255:
            padding += 254
            at += 1
        padding += packet[at] if at < len(packet) else len(packet)
        at += 1
    return at, padding


def _frame_bytes(packet: bytes | bytearray | memoryview, at: int) -> tuple[int, int]:
    """Read the length of a frame (RFC 6716 3.2.1) and where the next field begins; too much when it is cut short."""
    if at >= len(packet):
        return len(packet), at
    if packet[at] < 252:
        return packet[at], at + 1
    if at + 1 >= len(packet):
        return len(packet), at
    return packet[at] + 4 * packet[at + 1], at + 2


def _silk_frames(configuration: int) -> int:
    return max(1, _frame_us(configuration) // 20_000)


def _first_frame(packet: bytes | bytearray | memoryview) -> int:
    """Find where the first Opus frame begins (RFC 6716 3.2)."""
    code = packet[0] & 3
    if code < 2:
        return 1
    if code == 2:
        return _frame_bytes(packet, 1)[1]
    at, _ = _after_padding(packet)
    if packet[1] & _VBR:
        for _ in range((packet[1] & 0x3F) - 1):
            at = _frame_bytes(packet, at)[1]
    return at
