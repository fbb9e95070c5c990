"""What a client is given as speech, whatever a node sent for it."""

from __future__ import annotations

from array import array

import pytest

from lingua_scheduler.sessions.speech import resampled, speech_of
from lingua_wire.audio import encode_base64, write_wav
from lingua_wire.node_messages import JobResult

PCM = b"\x01\x00" * 160


def result(tts_audio: str | None, tts_format: str | None) -> JobResult:
    return JobResult(
        job_id="j",
        attempt_id=1,
        node_id="n",
        session_id="s",
        trace_id="t",
        utterance_index=0,
        success=True,
        text_asr="one",
        tts_audio=tts_audio,
        tts_format=tts_format,
    )


@pytest.mark.parametrize("tts_format", ["pcm16", "opus", "wav", "mp3", None])
@pytest.mark.parametrize("bare", [False, True])
def test_what_is_no_base64_is_no_speech_for_a_client_that_takes_bytes(tts_format: str | None, bare: bool) -> None:
    assert speech_of(result("not base64!", tts_format), None, bare=bare, as_bytes=True).empty


def test_base64_is_read_for_a_client_that_takes_bytes() -> None:
    speech = speech_of(result(encode_base64(PCM), "pcm16"), None, bare=False, as_bytes=True)
    assert speech.raw == PCM


def test_base64_goes_on_as_it_came_to_a_client_that_takes_it() -> None:
    speech = speech_of(result(encode_base64(PCM), "opus"), None, bare=True)
    assert speech.text == encode_base64(PCM)


def test_a_wav_file_loses_its_header() -> None:
    speech = speech_of(result(encode_base64(write_wav(PCM, 16_000)), "wav"), None, bare=True)
    assert (speech.audio_format, speech.as_bytes()) == ("pcm16", PCM)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("count", [2, 3, 1_000, 4_411])
def test_every_sample_of_another_rate_lies_on_the_line_between_its_neighbours(rate: int, count: int) -> None:
    source = array("h", [(number * 7919) % 60_001 - 30_000 for number in range(count)])
    made = array("h", resampled(source.tobytes(), rate))
    assert len(made) == count * 16_000 // rate
    for place, sample in enumerate(made):
        left, part = divmod(place * rate, 16_000)
        right = source[min(left + 1, count - 1)]
        assert abs(sample - (source[left] + (right - source[left]) * part / 16_000)) <= 1
