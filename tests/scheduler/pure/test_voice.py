"""The voice detectors on real sound: espeak-ng speech, noise, hum, and the same through libopus."""

from __future__ import annotations

import array
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.speech import mixed, noise, pcm_chunks, plan_a_chunks, silence, spoken, tone
from lingua_scheduler.sessions.voice import (
    Pcm16Detector,
    PlanADetector,
    VoiceDetector,
    VoiceRules,
    detector_of,
    format_of,
    hear_whole,
)
from lingua_wire.audio import AudioFormat
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

SENTENCE = "good morning everybody, how are you today"
#: What a detector may claim on a sound without speech: its model needs a moment to settle.
SETTLING_MS = 200


def speech_ms(detector: VoiceDetector, chunks: Iterable[bytes]) -> int:
    return sum(detector.hear(chunk).speech for chunk in chunks) * 1000 // detector.sample_rate


def silence_after(detector: VoiceDetector, chunks: list[bytes]) -> int:
    heard = [detector.hear(chunk) for chunk in chunks]
    return heard[-1].silence * 1000 // detector.sample_rate


def chunks_of(kind: AudioFormat, sound: array.array[int]) -> list[bytes]:
    return plan_a_chunks(sound) if kind is AudioFormat.OPUS else pcm_chunks(sound)


def test_speech_is_found_wherever_a_whole_utterance_has_it() -> None:
    sentence, click = spoken(SENTENCE), array.array("h", [30_000] * 160)
    for sound in (
        [silence(0.7), sentence],
        [silence(3.0), sentence],
        [click, silence(0.5), sentence, silence(0.5)],
        [silence(0.5), click, silence(2.5), sentence],
    ):
        whole = b"".join(part.tobytes() for part in sound)
        heard = hear_whole(whole, Pcm16Detector, samples=len(whole) // 2, enough_ms=200)
        assert heard.speech >= 3_200
    clicks = b"".join(part.tobytes() for part in [click, silence(0.5)] * 4)
    assert hear_whole(clicks, Pcm16Detector, samples=len(clicks) // 2, enough_ms=200).speech < 3_200


def test_a_whole_utterance_of_half_a_sample_is_refused() -> None:
    with pytest.raises(WireError, match="even number"):
        hear_whole(bytes(32_001), Pcm16Detector, samples=16_000, enough_ms=200)


@pytest.mark.parametrize("kind", [AudioFormat.PCM16, AudioFormat.OPUS])
def test_most_of_a_spoken_sentence_is_speech(kind: AudioFormat) -> None:
    sentence = spoken(SENTENCE)
    assert speech_ms(detector_of(kind, 16_000), chunks_of(kind, sentence)) > 0.7 * len(sentence) / 16


@pytest.mark.parametrize("kind", [AudioFormat.PCM16, AudioFormat.OPUS])
@pytest.mark.parametrize("level_dbfs", [-70, -50, -45])
def test_the_end_of_speech_is_heard_in_a_noisy_room(kind: AudioFormat, level_dbfs: float) -> None:
    sound = silence(1) + spoken(SENTENCE) + silence(2)
    sound = mixed(sound, noise(level_dbfs, len(sound) / 16_000 + 0.1))
    assert 1_600 < silence_after(detector_of(kind, 16_000), chunks_of(kind, sound)) < 2_600


@pytest.mark.parametrize("level_dbfs", [-60, -40, -30])
def test_steady_noise_is_no_speech(level_dbfs: float) -> None:
    assert speech_ms(Pcm16Detector(), pcm_chunks(noise(level_dbfs, 5))) < SETTLING_MS


def test_hum_clicks_and_digital_silence_are_no_speech() -> None:
    click = array.array("h", [20_000] * 240) + silence(0.5)
    for sound in (tone(50, -30, 3), click * 6, silence(3)):
        assert speech_ms(Pcm16Detector(), pcm_chunks(sound)) < SETTLING_MS


def test_soft_speech_is_heard() -> None:
    soft = array.array("h", (value // 30 for value in spoken(SENTENCE)))
    assert speech_ms(Pcm16Detector(), pcm_chunks(soft)) > 1_000


def test_speech_from_another_room_is_below_the_floor() -> None:
    sentence = spoken(SENTENCE)
    factor = max(sentence) / 75  # a peak of -53 dBFS
    faint = array.array("h", (int(value / factor) for value in sentence))
    assert speech_ms(Pcm16Detector(), pcm_chunks(faint)) == 0
    assert speech_ms(Pcm16Detector(rules=VoiceRules(floor_dbfs=-80)), pcm_chunks(faint)) > 0


def test_noise_that_begins_after_speech_does_not_pass_for_more_speech() -> None:
    sound = silence(1) + spoken(SENTENCE) + noise(-50, 2)
    assert silence_after(Pcm16Detector(), pcm_chunks(sound)) > 1_600


@pytest.mark.parametrize("rate", [8_000, 32_000, 44_100, 48_000])
def test_other_rates_are_judged_too(rate: int) -> None:
    sentence, step = spoken(SENTENCE), 16_000 / rate
    sound = array.array("h", (sentence[int(at * step)] for at in range(int(len(sentence) / step) - 1)))
    detector = Pcm16Detector(rate)
    heard = speech_ms(detector, [sound.tobytes()])
    assert heard > 0.5 * len(sentence) / 16
    assert detector.hear(bytes(4 * rate)).silence >= rate


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=40))
def test_how_samples_are_split_into_chunks_changes_nothing(sizes: list[int]) -> None:
    data, detector, at, speech = spoken(SENTENCE).tobytes()[: 2 * sum(sizes)], Pcm16Detector(), 0, 0
    for size in sizes:
        speech += detector.hear(data[at : at + 2 * size]).speech
        at += 2 * size
    assert speech == Pcm16Detector().hear(data).speech


@pytest.mark.parametrize("payload", [b"\x01", b"abc"])
def test_an_odd_number_of_bytes_is_no_pcm16(payload: bytes) -> None:
    with pytest.raises(WireError, match="even number"):
        Pcm16Detector().hear(payload)


def test_samples_sent_as_opus_are_refused_and_nothing_is_counted() -> None:
    detector = PlanADetector()
    with pytest.raises(WireError):
        detector.hear(spoken(SENTENCE).tobytes()[:3_200])
    assert detector.hear(plan_a_chunks(silence(0.1))[0]).silence == 1_600


def test_plan_a_is_told_from_bare_samples_by_parsing() -> None:
    sentence = spoken(SENTENCE)
    assert {format_of(chunk) for chunk in plan_a_chunks(sentence, 13)} == {AudioFormat.OPUS}
    assert {format_of(chunk) for chunk in pcm_chunks(sentence + silence(1))} == {AudioFormat.PCM16}


def test_a_stream_can_not_be_wav() -> None:
    with pytest.raises(WireError, match="whole utterances"):
        detector_of(AudioFormat.WAV, 16_000)


def test_celt_packets_of_digital_silence_are_silence() -> None:
    sound = spoken(SENTENCE) + silence(1)
    assert silence_after(PlanADetector(), plan_a_chunks(sound, application="lowdelay")) > 500


def test_a_whole_utterance_is_judged_only_until_speech_is_sure() -> None:
    sound = (spoken(SENTENCE) * 4).tobytes()
    heard = hear_whole(sound, Pcm16Detector, samples=len(sound) // 2, enough_ms=200)
    assert heard.samples == len(sound) // 2
    assert 3_200 <= heard.speech <= 16_000
    nothing = hear_whole(bytes(64_000), Pcm16Detector, samples=32_000, enough_ms=200)
    assert nothing.speech == 0
    packets = plan_a_chunks(spoken(SENTENCE), 1_000)[0]
    assert hear_whole(packets, PlanADetector, samples=1, enough_ms=200).speech > 16_000


@pytest.mark.parametrize("kind", [AudioFormat.PCM16, AudioFormat.OPUS])
def test_a_chunk_of_100_ms_costs_little(kind: AudioFormat) -> None:
    """The goal is 50 us on an idle machine; the bound here leaves room for a busy one, and the best of ten counts."""
    chunks = chunks_of(kind, spoken(SENTENCE))[:20]
    best_us = min(_time_us(detector_of(kind, 16_000), chunks) for _ in range(10))
    assert best_us < 150


def _time_us(detector: VoiceDetector, chunks: list[bytes]) -> float:
    began = time.perf_counter()
    for chunk in chunks:
        detector.hear(chunk)
    return (time.perf_counter() - began) * 1e6 / len(chunks)
