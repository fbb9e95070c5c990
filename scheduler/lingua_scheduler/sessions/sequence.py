"""Order within one socket: the ``seq`` of chunks, and chunks that are sent twice."""

from __future__ import annotations

from typing import Final

#: How far back repeats are found. Frames that a client doubles follow each other at once.
WINDOW: Final = 256
#: A second of bare samples at the highest rate.
MAX_ECHO_BYTES: Final = 96_000


class SeqWindow:
    """Turn each ``seq`` into a position that only grows over restarts of the counter, and find repeats.

    A counter starts anywhere. One that falls back by more than the window has been started again; so has one that is at
    its beginning after the end of an utterance, since some clients count anew in each. Some do not count at all: of
    those that never named another number, :meth:`uncounted` tells.
    """

    __slots__ = ("_counts", "_ended_seq", "_high_position", "_high_seq", "_seen", "late", "repeats")

    def __init__(self) -> None:
        self._high_seq = -1
        self._high_position = -1
        self._seen = 0
        self._ended_seq = -1
        self._counts = False
        self.repeats = 0
        self.late = 0

    def ended(self, seq: int) -> None:
        """Note that an utterance ended with ``seq``: a counter that is at 0 or 1 after that has been started again."""
        self._ended_seq = max(seq, self._high_seq)

    def restart(self) -> None:
        """Begin again: another socket counts anew, from anywhere."""
        self._seen = 0

    def accept(self, seq: int) -> int | None:
        """Return the chunk's position in the order of the stream, or None for a repeat."""
        ahead = seq - self._high_seq
        again = seq <= 1 and seq < self._ended_seq
        self._ended_seq = -1 if ahead > 0 or again else self._ended_seq
        if self._seen == 0 or ahead <= -WINDOW or again:
            return self._begin(seq)
        if ahead > 0:
            return self._advance(seq, ahead)
        return self._look_back(-ahead)

    def uncounted(self) -> int | None:
        """Give the position of a chunk that came as a repeat and is none; None: the client does count."""
        if self._counts:
            return None
        self.repeats -= 1
        self._high_position += 1
        return self._high_position

    def _begin(self, seq: int) -> int:
        self._counts = self._counts or self._high_seq not in (-1, seq)
        self._high_seq = seq
        self._high_position += 1
        self._seen = 1
        return self._high_position

    def _advance(self, seq: int, ahead: int) -> int:
        self._counts = True
        self._seen = (self._seen << ahead | 1) & ((1 << WINDOW) - 1) if ahead < WINDOW else 1
        self._high_seq = seq
        self._high_position += ahead
        return self._high_position

    def _look_back(self, behind: int) -> int | None:
        bit = 1 << behind
        if self._seen & bit:
            self.repeats += 1
            return None
        self._counts = True
        self._seen |= bit
        self.late += 1
        return self._high_position - behind


class EchoFilter:
    """Find chunks that repeat the one before byte by byte under a ``seq`` of their own.

    Real speech in Opus never does. Encoded silence may, so at most every second chunk is called an echo. Chunks longer
    than any page sends are not kept to compare with.
    """

    __slots__ = ("_last", "echoes")

    def __init__(self) -> None:
        self._last: bytes = b""
        self.echoes = 0

    def is_last(self, payload: bytes | memoryview) -> bool:
        """Tell whether ``payload`` is that of the chunk before."""
        return self._last == payload

    def is_echo(self, payload: bytes | memoryview) -> bool:
        """Tell whether ``payload`` repeats the chunk before."""
        if payload and self._last == payload:
            self._last = b""
            self.echoes += 1
            return True
        self._last = bytes(payload) if len(payload) <= MAX_ECHO_BYTES else b""
        return False
