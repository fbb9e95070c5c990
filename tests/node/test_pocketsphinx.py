"""Real decoders on real recordings."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from kit.eventually import PATIENCE_S, eventually
from kit.partials import Partials
from kit.processes import is_alive
from kit.samples import Sample, count_word_errors
from lingua_node.engines import asr_models
from lingua_node.engines.base import EngineError, Listening
from lingua_node.engines.pocketsphinx import PocketsphinxAsr, quality_of
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from lingua_node.engines.asr_models import AsrModel

pytestmark = pytest.mark.asyncio(loop_scope="module")

EN = Listening("en")
ES = Listening("es")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, sentences: Path, spanish_phrases: Path) -> list[AsrModel]:
    folder = tmp_path_factory.mktemp("models")
    return [asr_models.domain(sentences, folder), asr_models.phrasebook(spanish_phrases, "es", folder)]


@pytest.fixture(scope="module")
def make_engine(models: list[AsrModel]) -> Callable[..., PocketsphinxAsr]:
    def make(decoders: int = 1) -> PocketsphinxAsr:
        return PocketsphinxAsr(models, decoders)

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asr(make_engine: Callable[..., PocketsphinxAsr]) -> AsyncIterator[PocketsphinxAsr]:
    engine = make_engine()
    await engine.start()
    yield engine
    await engine.close()


async def test_the_domain_model_hears_every_sample_right(asr: PocketsphinxAsr, english_samples: list[Sample]) -> None:
    for sample in english_samples:
        recognition = await asr.recognise(sample.pcm, EN)
        assert count_word_errors(sample.text, recognition.text) == 0, sample.name
        assert 0.5 < recognition.quality <= 1


async def test_words_lie_in_order_inside_the_audio(asr: PocketsphinxAsr, english_samples: list[Sample]) -> None:
    recognition = await asr.recognise(english_samples[0].pcm, EN)
    edges = [edge for word in recognition.words for edge in (word.start_sample, word.end_sample)]
    assert [word.text for word in recognition.words] == recognition.text.split()
    assert edges == sorted(edges)
    assert 0 <= edges[0] < edges[-1] <= len(english_samples[0].pcm) // 2 + 1600


async def test_the_spanish_phrasebook_hears_its_phrases_as_written(
    asr: PocketsphinxAsr, spanish_samples: list[Sample]
) -> None:
    for sample in spanish_samples:
        recognition = await asr.recognise(sample.pcm, ES)
        assert recognition.text == sample.text
        assert recognition.language == "es"


async def test_english_speech_is_mostly_refused_as_a_spanish_phrase(
    asr: PocketsphinxAsr, english_samples: list[Sample]
) -> None:
    heard = [(await asr.recognise(sample.pcm, ES)).text for sample in english_samples]
    assert heard.count("") > len(english_samples) / 2  # docs/node.md says how often


async def test_each_language_fits_its_own_speech_best(
    asr: PocketsphinxAsr, english_samples: list[Sample], spanish_samples: list[Sample]
) -> None:
    for sample in english_samples + spanish_samples:
        english, spanish = [(await asr.recognise(sample.pcm, listening)).quality for listening in (EN, ES)]
        assert (english > spanish) == (sample in english_samples), sample.name


async def test_silence_and_nothing_give_no_text(asr: PocketsphinxAsr) -> None:
    for pcm in (b"", bytes(3200), bytes(64_000)):
        assert (await asr.recognise(pcm, ES)).text == ""
    assert (await asr.recognise(b"", EN)).text == ""


async def test_one_utterance_does_not_shape_the_next(asr: PocketsphinxAsr, english_samples: list[Sample]) -> None:
    first = await asr.recognise(english_samples[2].pcm, EN)
    await asr.recognise(english_samples[0].pcm, EN)
    assert await asr.recognise(english_samples[2].pcm, EN) == first


async def test_the_text_so_far_is_told_while_it_grows(asr: PocketsphinxAsr, english_samples: list[Sample]) -> None:
    partials = Partials()
    longest = max(english_samples, key=lambda sample: len(sample.pcm))
    recognition = await asr.recognise(longest.pcm, Listening("en", 500, partials))
    assert len(partials.texts) >= 4
    assert len(partials.texts[0]) < len(partials.texts[-1]) <= len(recognition.text) + 20


async def test_a_cancelled_utterance_stops_and_the_decoder_goes_on(
    asr: PocketsphinxAsr, english_samples: list[Sample]
) -> None:
    partials = Partials()
    pids = asr.decoder_pids("en")
    long = b"".join(sample.pcm for sample in english_samples) * 4
    work = asyncio.create_task(asr.recognise(long, Listening("en", 100, partials)))
    await asyncio.wait_for(partials.first.wait(), PATIENCE_S)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    sample = english_samples[0]
    assert (await asyncio.wait_for(asr.recognise(sample.pcm, EN), 10)).text == sample.text
    assert asr.decoder_pids("en") == pids


async def test_a_decoder_that_died_at_work_is_an_error_and_the_next_utterance_has_a_new_one(
    asr: PocketsphinxAsr, english_samples: list[Sample]
) -> None:
    partials = Partials()
    (pid,) = asr.decoder_pids("en")
    long = english_samples[0].pcm * 8
    work = asyncio.create_task(asr.recognise(long, Listening("en", 100, partials)))
    await asyncio.wait_for(partials.first.wait(), PATIENCE_S)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineError) as raised:
        await work
    assert raised.value.code is ErrorCode.PROCESSING_ERROR
    assert (await asr.recognise(english_samples[0].pcm, EN)).text == english_samples[0].text
    assert asr.decoder_pids("en") != (pid,)


async def test_a_decoder_that_died_idle_is_replaced_unseen(asr: PocketsphinxAsr, english_samples: list[Sample]) -> None:
    (pid,) = asr.decoder_pids("en")
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not asr.decoder_pids("en"))
    assert (await asr.recognise(english_samples[0].pcm, EN)).text == english_samples[0].text


async def test_two_decoders_work_at_once_and_end_with_the_engine(
    make_engine: Callable[..., PocketsphinxAsr], english_samples: list[Sample]
) -> None:
    engine = make_engine(2)
    await engine.start()
    pids = engine.decoder_pids("en")
    assert len(set(pids)) == 2
    heard = await asyncio.gather(*(engine.recognise(sample.pcm, EN) for sample in english_samples[:4]))
    assert [recognition.text for recognition in heard] == [sample.text for sample in english_samples[:4]]
    await engine.close()
    await engine.close()
    assert not any(is_alive(pid) for pid in pids)


async def test_a_language_it_does_not_hear_is_an_error(asr: PocketsphinxAsr) -> None:
    with pytest.raises(EngineError) as raised:
        await asr.recognise(b"", Listening("fr"))
    assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE


async def test_an_engine_that_was_not_started_says_so(make_engine: Callable[..., PocketsphinxAsr]) -> None:
    with pytest.raises(EngineError, match="not started"):
        await make_engine().recognise(b"", EN)


async def test_a_broken_model_is_reported_with_its_code(tmp_path: Path) -> None:
    spec = {"parameters": {"hmm": str(tmp_path), "lm": None, "dict": str(tmp_path / "none")}}
    engine = PocketsphinxAsr([asr_models.AsrModel("en", "broken", spec)])
    with pytest.raises(EngineError) as raised:
        await engine.start()
    assert raised.value.code is ErrorCode.MODEL_LOAD_FAILED
    assert engine.decoder_pids("en") == ()


async def test_the_open_vocabulary_hears_most_words(english_samples: list[Sample]) -> None:
    engine = PocketsphinxAsr([asr_models.open_vocabulary()])
    await engine.start()
    try:
        heard = [(await engine.recognise(sample.pcm, EN)).text for sample in english_samples]
    finally:
        await engine.close()
    said = [sample.text for sample in english_samples]
    rate = sum(map(count_word_errors, said, heard)) / sum(len(text.split()) for text in said)
    assert rate < 0.4
    assert "open vocabulary" in engine.note("en")


async def test_words_without_pronunciation_are_named_and_their_sentences_left_out(tmp_path: Path) -> None:
    file = tmp_path / "sentences.txt"
    file.write_text("go forward\ngo to zzyzxq\n")
    model = asr_models.domain(file, tmp_path)
    assert model.unknown_words == ("zzyzxq",)
    assert model.note == "domain language model of 1 sentences"


@pytest.mark.parametrize("content", [None, "", "# nothing\n", "zzyzxq\n", b"\xff\xfe\x00"])
async def test_a_file_without_a_usable_sentence_is_an_error(tmp_path: Path, content: str | bytes | None) -> None:
    file = tmp_path / "sentences.txt"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    for make in (asr_models.domain, lambda path, folder: asr_models.phrasebook(path, "en", folder)):
        with pytest.raises(EngineError) as raised:
            make(file, tmp_path)
        assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE


async def test_a_language_without_rules_has_no_phrasebook(tmp_path: Path, spanish_phrases: Path) -> None:
    with pytest.raises(EngineError, match="no pronunciation rules for fr"):
        asr_models.phrasebook(spanish_phrases, "fr", tmp_path)


@pytest.mark.parametrize(("fit", "quality"), [(-9.0, 0.0), (-6.0, 0.0), (-4.0, 0.5), (-2.0, 1.0), (0.0, 1.0)])
async def test_quality_is_between_nothing_and_sure(fit: float, quality: float) -> None:
    assert quality_of(fit) == quality
