"""Every phrase of the example book, in several synthetic voices (the figure in docs/node.md)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lingua_node import audio
from lingua_node.engines import asr_models
from lingua_node.engines.base import Listening, Speech
from lingua_node.engines.pocketsphinx import PocketsphinxAsr
from lingua_wire.audio import parse_wav

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

VOICES = (("es", 150), ("es-419", 160), ("es+f2", 150), ("es+m3", 130))
UNLISTED = ("el perro come carne", "me gusta mucho la música", "no tengo dinero", "los niños juegan en el parque")


async def say(text: str, voice: str, words_a_minute: int) -> bytes:
    pipe = asyncio.subprocess.PIPE
    arguments = ("-v", voice, "-s", str(words_a_minute), "--stdin", "--stdout")
    process = await asyncio.create_subprocess_exec("espeak-ng", *arguments, stdin=pipe, stdout=pipe)
    wav = parse_wav((await process.communicate(text.encode()))[0])
    return audio.silence(200) + audio.resample(Speech(bytes(wav.pcm), wav.sample_rate), 16_000).pcm + audio.silence(200)


async def test_the_phrases_are_heard_in_every_voice_and_never_taken_for_each_other(
    spanish_phrases: Path, tmp_path: Path
) -> None:
    model = asr_models.phrasebook(spanish_phrases, "es", tmp_path)
    asr = PocketsphinxAsr([model])
    await asr.start()
    try:
        said = [phrase for phrase in model.phrases.values() for _ in VOICES]
        voices = [voice for _ in model.phrases for voice in VOICES]
        heard = [
            (await asr.recognise(await say(phrase, *voice), Listening("es"))).text
            for phrase, voice in zip(said, voices, strict=True)
        ]
        unlisted = [(await asr.recognise(await say(text, "es", 150), Listening("es"))).text for text in UNLISTED]
    finally:
        await asr.close()
    wrong = [(phrase, text) for phrase, text in zip(said, heard, strict=True) if text not in ("", phrase)]
    assert wrong == []
    assert heard.count("") <= len(said) * 0.05
    assert unlisted == [""] * len(UNLISTED)
