"""The audio of a whole utterance may come in several frames."""

from __future__ import annotations

import pytest

from lingua_scheduler.sessions.announced import Announced
from lingua_wire import frames
from lingua_wire.audio import AudioFormat
from lingua_wire.errors import WireError
from lingua_wire.session_messages import Utterance


def utterance(index: int) -> Utterance:
    return Utterance(
        session_id="s", utterance_index=index, manual_cut=True, src_lang="en", tgt_lang="es",
        audio_format=AudioFormat.PCM16, sample_rate=16_000, audio_follows=True,
    )  # fmt: skip


def frame(index: int, audio: bytes, *, last: bool) -> frames.Frame:
    return frames.unpack(frames.pack(frames.Kind.CLIENT_UTTERANCE, audio, index=index, last=last))


def test_frames_are_joined_until_the_last_also_when_two_utterances_mix() -> None:
    announced = Announced(100)
    first, second = utterance(1), utterance(2)
    announced.add(first)
    announced.add(second)
    assert announced.take(frame(1, b"ab", last=False)) is None
    assert announced.take(frame(2, b"xy", last=True)) == (second, b"xy")
    assert announced.take(frame(1, b"cd", last=True)) == (first, b"abcd")
    with pytest.raises(WireError, match="announced"):
        announced.take(frame(1, b"ef", last=True))


def test_audio_beyond_the_bound_is_refused_and_forgotten() -> None:
    announced = Announced(5)
    announced.add(utterance(1))
    assert announced.take(frame(1, b"abcd", last=False)) is None
    with pytest.raises(WireError) as refused:
        announced.take(frame(1, b"ef", last=True))
    assert refused.value.code == "TOO_LARGE"
    announced.add(utterance(2))
    assert announced.take(frame(2, b"abcde", last=True)) is not None


def test_only_so_many_wait_for_their_audio() -> None:
    announced = Announced(100)
    for index in range(8):
        announced.add(utterance(index))
    with pytest.raises(WireError, match="too many"):
        announced.add(utterance(8))
