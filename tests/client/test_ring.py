"""The ring buffer: exactly the last seconds, by sample number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lingua_client.ring import Ring


def samples(first: int, count: int) -> bytes:
    return b"".join((n % 65536).to_bytes(2, "little") for n in range(first, first + count))


def test_what_was_sent_is_read_back_by_sample_number() -> None:
    ring = Ring()
    ring.append(samples(0, 100))
    ring.append(samples(100, 50))
    assert ring.read(90, 120) == samples(90, 30)


def test_audio_below_what_was_consumed_is_forgotten() -> None:
    ring = Ring()
    ring.append(samples(0, 100))
    ring.append(samples(100, 50))
    ring.drop_below(100)
    assert ring.read(90, 120) is None
    assert ring.read(100, 150) == samples(100, 50)


def test_audio_not_yet_sent_cannot_be_read() -> None:
    ring = Ring()
    ring.append(samples(0, 10))
    assert ring.read(5, 11) is None


def test_an_empty_ring_starts_where_it_ends() -> None:
    ring = Ring()
    ring.append(samples(0, 10))
    ring.drop_below(10)
    assert (ring.start, ring.end) == (10, 10)
    assert ring.read(10, 10) == b""


@given(st.lists(st.integers(0, 40), max_size=40), st.integers(1, 100), st.data())
def test_every_held_range_is_exactly_what_was_sent(sizes: list[int], capacity: int, data: st.DataObject) -> None:
    ring = Ring(capacity_samples=capacity)
    for size in sizes:
        ring.append(samples(ring.end, size))
    assert ring.end == sum(sizes)
    assert ring.end - ring.start < capacity + 40
    assert ring.end - ring.start >= min(capacity, ring.end)
    first = data.draw(st.integers(ring.start, ring.end))
    end = data.draw(st.integers(first, ring.end))
    assert ring.read(first, end) == samples(first, end - first)
