"""Whole jobs on the real engines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from kit.eventually import PATIENCE_S
from kit.samples import Sample, count_word_errors
from lingua_node import audio
from lingua_node.engines import asr_models
from lingua_node.engines.apertium import ApertiumNmt
from lingua_node.engines.base import EngineError, Listening, Speech
from lingua_node.engines.espeak import EspeakTts
from lingua_node.engines.pocketsphinx import PocketsphinxAsr
from lingua_node.pipeline import Engines, JobPipeline, together
from lingua_wire.audio import AudioFormat
from lingua_wire.codes import ErrorCode
from lingua_wire.node_messages import EmptyReason, JobAssign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(
    tmp_path_factory: pytest.TempPathFactory, sentences: Path, spanish_phrases: Path
) -> AsyncIterator[Engines]:
    folder = tmp_path_factory.mktemp("models")
    models = [asr_models.domain(sentences, folder), asr_models.phrasebook(spanish_phrases, "es", folder)]
    made = Engines(PocketsphinxAsr(models), ApertiumNmt(["en", "es"]), EspeakTts(["en", "es"]))
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def pipeline(engines: Engines) -> JobPipeline:
    return JobPipeline(engines)


def job(**fields: Any) -> JobAssign:
    return JobAssign.model_validate(
        {
            "job_id": "job",
            "attempt_id": 1,
            "session_id": "session",
            "utterance_index": 0,
            "src_lang": "en",
            "tgt_lang": "es",
            "pipeline": {},
            "audio": "",
            "audio_format": "pcm16",
            "sample_rate": 16000,
            "trace_id": "trace",
            "turn_id": "turn",
            **fields,
        }
    )


async def ignore(text: str, final: bool) -> None:
    del text, final


async def test_speech_becomes_text_translation_and_speech(pipeline: JobPipeline, english_samples: list[Sample]) -> None:
    sample = next(sample for sample in english_samples if sample.name == "go-forward")
    outcome = await pipeline.run(job(padding_ms=220), sample.pcm, ignore)
    assert outcome.heard.text == "go forward ten meters"
    assert "diez metros" in outcome.text_translated
    assert outcome.spoken.sample_rate == 16_000
    assert len(outcome.spoken.audio) == outcome.spoken.samples * 2 > 16_000
    assert outcome.route == ("en", "es")
    assert outcome.heard.covered == (0, len(sample.pcm) // 2)
    assert set(outcome.timings_ms) == {"asr_ms", "nmt_ms", "tts_ms", "total_ms"}
    assert outcome.timings_ms["total_ms"] >= outcome.timings_ms["asr_ms"] > 0


async def test_what_was_translated_is_really_said(
    pipeline: JobPipeline, engines: Engines, english_samples: list[Sample]
) -> None:
    """Close the circle: the phrasebook hears what the voice says."""
    asking = job(pipeline={"use_asr": False}, src_lang="en", context_text="good morning")
    outcome = await pipeline.run(asking, b"", ignore)
    assert outcome.text_translated.lower() == "buenos días"
    padded = audio.silence(200) + outcome.spoken.audio + audio.silence(200)
    assert (await engines.asr.recognise(padded, Listening("es"))).text == "Buenos días."


@pytest.mark.parametrize("audio_format", list(AudioFormat))
async def test_the_answer_has_the_format_of_the_question(
    pipeline: JobPipeline, english_samples: list[Sample], audio_format: AudioFormat
) -> None:
    packed = audio.encode(Speech(english_samples[0].pcm, 16_000), audio_format, 16_000)
    outcome = await pipeline.run(job(audio_format=audio_format.value), packed, ignore)
    assert outcome.heard.text == english_samples[0].text
    assert outcome.spoken.audio_format is audio_format
    assert len(audio.decode(outcome.spoken.audio, audio_format, 16_000)) > 16_000


@pytest.mark.parametrize(
    ("flags", "translated", "spoken"),
    [
        ({"use_nmt": False}, False, True),
        ({"use_tts": False}, True, False),
        ({"use_nmt": False, "use_tts": False}, False, False),
    ],
)
async def test_stages_nobody_wants_are_left_out(
    pipeline: JobPipeline, english_samples: list[Sample], flags: dict[str, bool], translated: bool, spoken: bool
) -> None:
    outcome = await pipeline.run(job(pipeline=flags), english_samples[0].pcm, ignore)
    assert (outcome.text_translated != outcome.heard.text) == translated
    assert bool(outcome.spoken.audio) == spoken


async def test_two_people_are_told_apart_by_what_they_say(
    pipeline: JobPipeline, english_samples: list[Sample], spanish_samples: list[Sample]
) -> None:
    both = {"mode": "two_way_auto", "lang_a": "en", "lang_b": "es", "src_lang": "auto"}
    for tgt_lang in ("en", "es"):
        for sample in english_samples:
            outcome = await pipeline.run(job(**both, tgt_lang=tgt_lang), sample.pcm, ignore)
            assert (outcome.heard.language, outcome.heard.text) == ("en", sample.text)
            assert outcome.route == ("en", "es")
        for sample in spanish_samples:
            outcome = await pipeline.run(job(**both, tgt_lang=tgt_lang), sample.pcm, ignore)
            assert (outcome.heard.language, outcome.heard.text) == ("es", sample.text)
            assert outcome.route == ("es", "en")


async def test_auto_listens_for_every_language_it_may_be(pipeline: JobPipeline, spanish_samples: list[Sample]) -> None:
    outcome = await pipeline.run(job(src_lang="auto", tgt_lang="en"), spanish_samples[0].pcm, ignore)
    assert outcome.heard.language == "es"
    narrowed = await pipeline.run(job(src_lang="auto", auto_langs=["en"]), spanish_samples[0].pcm, ignore)
    assert narrowed.heard.language in ("en", "auto")


async def test_a_region_is_served_by_its_language(pipeline: JobPipeline, english_samples: list[Sample]) -> None:
    outcome = await pipeline.run(job(src_lang="en-GB", tgt_lang="es-MX"), english_samples[0].pcm, ignore)
    assert outcome.route == ("en", "es")
    assert outcome.spoken.audio


async def test_silence_is_a_success_without_text(pipeline: JobPipeline) -> None:
    outcome = await pipeline.run(job(src_lang="es", tgt_lang="en"), audio.silence(1000), ignore)
    assert (outcome.heard.text, outcome.heard.empty_reason) == ("", EmptyReason.ASR_EMPTY)
    assert (outcome.text_translated, outcome.spoken.audio) == ("", b"")


async def test_a_long_utterance_is_carried_over_and_nothing_is_lost(
    pipeline: JobPipeline, english_samples: list[Sample]
) -> None:
    ordered = [sample for sample in english_samples if sample.name.startswith("sense")] * 2
    speech = b"".join(sample.pcm + audio.silence(300) for sample in ordered)
    said = " ".join(sample.text for sample in ordered)
    ten_s = 10 * 32_000
    pieces = [speech[at : at + ten_s] for at in range(0, len(speech), ten_s)]
    heard, edges = [], []
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        fields = {"job_id": f"job-{number}", "start_sample": number * 160_000, "utterance_index": number}
        outcome = await pipeline.run(job(**fields, is_max_duration_triggered=not last), piece, ignore)
        heard.append(outcome.heard.text)
        assert outcome.heard.covered is not None
        edges.append(outcome.heard.covered)
        assert (outcome.heard.carried_from is None) == last
    assert [start for start, _ in edges[1:]] == [end for _, end in edges[:-1]]
    assert edges[-1][1] == len(speech) // 2
    assert count_word_errors(said, " ".join(heard)) / len(said.split()) < 0.2


async def test_ranges_are_counted_at_the_rate_of_the_job(pipeline: JobPipeline, english_samples: list[Sample]) -> None:
    slower = audio.resample(Speech(english_samples[0].pcm, 16_000), 8_000).pcm
    outcome = await pipeline.run(job(sample_rate=8000, start_sample=800), slower, ignore)
    assert outcome.heard.covered == (800, 800 + len(slower) // 2)


async def test_the_text_grows_and_is_final_once(pipeline: JobPipeline, english_samples: list[Sample]) -> None:
    told = []

    async def tell(text: str, final: bool) -> None:
        told.append((text, final))

    sample = max(english_samples, key=lambda sample: len(sample.pcm))
    asking = job(enable_streaming_asr=True, partial_update_interval_ms=500)
    outcome = await pipeline.run(asking, sample.pcm, tell)
    assert [final for _, final in told] == [False] * (len(told) - 1) + [True]
    assert len(told) >= 4
    assert told[-1][0] == outcome.heard.text


@pytest.mark.parametrize(
    ("fields", "payload", "code"),
    [
        ({"src_lang": "zh"}, b"\0\0" * 1000, ErrorCode.MODEL_NOT_AVAILABLE),
        ({"audio_format": "wav"}, b"no wav", ErrorCode.UNSUPPORTED_FORMAT),
        ({"audio_format": "opus"}, b"\1", ErrorCode.UNSUPPORTED_FORMAT),
    ],
)
async def test_a_job_it_can_not_do_fails_with_its_code(
    pipeline: JobPipeline, fields: dict[str, Any], payload: bytes, code: ErrorCode
) -> None:
    with pytest.raises(EngineError) as raised:
        await pipeline.run(job(**fields), payload, ignore)
    assert raised.value.code is code


async def test_a_pair_without_translation_fails_with_its_code(
    pipeline: JobPipeline, english_samples: list[Sample]
) -> None:
    with pytest.raises(EngineError) as raised:
        await pipeline.run(job(tgt_lang="zh"), english_samples[0].pcm, ignore)
    assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE


async def test_a_voice_that_fails_does_not_cost_the_text(engines: Engines, english_samples: list[Sample]) -> None:
    pipeline = JobPipeline(Engines(engines.asr, engines.nmt, EspeakTts(["es"], program="true")))
    outcome = await pipeline.run(job(), english_samples[0].pcm, ignore)
    assert outcome.text_translated
    assert outcome.spoken.audio == b""
    assert outcome.problems == (ErrorCode.PROCESSING_ERROR,)


async def test_cancelling_a_job_stops_it_at_once(pipeline: JobPipeline, english_samples: list[Sample]) -> None:
    started = asyncio.Event()

    async def tell(text: str, final: bool) -> None:
        del text, final
        started.set()

    long = b"".join(sample.pcm for sample in english_samples) * 5
    work = asyncio.create_task(pipeline.run(job(enable_streaming_asr=True), long, tell))
    await asyncio.wait_for(started.wait(), PATIENCE_S)
    work.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await work
        assert (await pipeline.run(job(job_id="next", turn_id="next"), english_samples[0].pcm, ignore)).heard.text


async def test_when_one_of_several_fails_its_own_error_is_raised_and_the_others_end() -> None:
    ended = asyncio.Event()

    async def fails() -> None:
        raise EngineError(ErrorCode.NMT_TIMEOUT, "slow")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(EngineError, match="slow"):
        await together(waits(), fails())
    assert ended.is_set()
