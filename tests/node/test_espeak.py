"""The real espeak-ng."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lingua_node.engines.base import EngineError
from lingua_node.engines.espeak import EspeakTts
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from pathlib import Path


async def test_each_language_has_its_voice() -> None:
    tts = EspeakTts(["en", "es", "ca", "eo"])
    await tts.start()
    spoken = {language: await tts.speak("animal", language) for language in tts.languages}
    assert len({speech.pcm for speech in spoken.values()}) == 4
    for speech in spoken.values():
        assert 0.2 < len(speech.pcm) / 2 / speech.sample_rate < 3
        assert np.abs(np.frombuffer(speech.pcm, np.int16)).max() > 1000


async def test_a_longer_text_is_longer_speech() -> None:
    tts = EspeakTts(["es"])
    short, long = await asyncio.gather(tts.speak("uno", "es"), tts.speak("uno dos tres cuatro cinco", "es"))
    assert len(long.pcm) > 2 * len(short.pcm)


@pytest.mark.parametrize("text", ["-v en", "--help", "<speak>", "a\0b", "ñ" * 500])
async def test_a_text_is_never_taken_for_an_option(text: str) -> None:
    assert len((await EspeakTts(["es"]).speak(text, "es")).pcm) > 0


async def test_a_language_without_a_voice_is_an_error() -> None:
    with pytest.raises(EngineError) as raised:
        await EspeakTts(["es"]).speak("hello", "en")
    assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE


async def test_a_missing_program_is_an_error() -> None:
    with pytest.raises(EngineError) as raised:
        await EspeakTts(["es"], program="no-such-program-of-lingua").start()
    assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE


async def test_a_program_that_gives_no_speech_is_an_error() -> None:
    with pytest.raises(EngineError) as raised:
        await EspeakTts(["es"], program="true").speak("hola", "es")
    assert raised.value.code is ErrorCode.PROCESSING_ERROR


async def test_a_stuck_program_times_out(tmp_path: Path) -> None:
    program = tmp_path / "stuck"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    with pytest.raises(EngineError) as raised:
        await EspeakTts(["es"], program=str(program), timeout_s=0.2).speak("hola", "es")
    assert raised.value.code is ErrorCode.TTS_TIMEOUT
