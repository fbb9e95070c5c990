"""The last seconds of audio that were sent, by sample number: what can be sent again when a node was lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

BYTES_PER_SAMPLE = 2


@dataclass(slots=True)
class Ring:
    """Keep sent PCM16 from the first sample not yet consumed, at most ``capacity_samples`` (30 s are about 1 MB)."""

    capacity_samples: int = 30 * 16_000
    _chunks: deque[tuple[int, bytes]] = field(default_factory=deque)
    _end: int = 0

    @property
    def start(self) -> int:
        """Tell the first sample still held; equal to :attr:`end` when empty."""
        return self._chunks[0][0] if self._chunks else self._end

    @property
    def end(self) -> int:
        """Tell the number of samples ever appended."""
        return self._end

    def append(self, pcm: bytes) -> None:
        """Add what was just sent; the oldest is forgotten beyond the capacity."""
        if not pcm:
            return
        self._chunks.append((self._end, pcm))
        self._end += len(pcm) // BYTES_PER_SAMPLE
        self.drop_below(self._end - self.capacity_samples)

    def drop_below(self, sample: int) -> None:
        """Forget whole chunks that end at or before ``sample``."""
        while self._chunks and self._first_chunk_end() <= sample:
            self._chunks.popleft()

    def read(self, first: int, end: int) -> bytes | None:
        """Give the audio of ``[first, end)``, or None when a part of it is no longer (or not yet) held."""
        if first < self.start or end > self._end or first > end:
            return None
        return b"".join(_overlap(at, chunk, first, end) for at, chunk in self._chunks)

    def boundary(self, sample: int, near: int = 16) -> int | None:
        """Find where a chunk ended at ``sample``, or up to ``near`` samples after it; None: none did."""
        ends = (at + len(chunk) // BYTES_PER_SAMPLE for at, chunk in self._chunks)
        return next((end for end in ends if sample <= end <= sample + near), None)

    def _first_chunk_end(self) -> int:
        at, chunk = self._chunks[0]
        return at + len(chunk) // BYTES_PER_SAMPLE


def _overlap(at: int, chunk: bytes, first: int, end: int) -> bytes:
    return chunk[max(0, first - at) * BYTES_PER_SAMPLE : max(0, end - at) * BYTES_PER_SAMPLE]
