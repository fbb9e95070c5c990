"""Engines with a model of the user: what is said when the package or the model is missing. Loading is a slow test."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lingua_node.build import build_engines
from lingua_node.engines.base import AsrEngine, EngineError, Listening, NmtEngine, TtsEngine
from lingua_node.engines.ctranslate2 import Ctranslate2Nmt
from lingua_node.engines.faster_whisper import FasterWhisperAsr, recognition_of
from lingua_node.engines.neural import Workers
from lingua_node.engines.piper import PiperTts
from lingua_node.settings import NodeSettings
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = {"faster_whisper": "asr", "ctranslate2": "nmt", "piper": "tts"}


Engine = FasterWhisperAsr | Ctranslate2Nmt | PiperTts


def make(package: str, folder: Path) -> Engine:
    if package == "faster_whisper":
        return FasterWhisperAsr(folder, ["en"])
    return Ctranslate2Nmt(folder) if package == "ctranslate2" else PiperTts(folder)


@pytest.mark.parametrize("package", PACKAGES)
async def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    engine = make(package, tmp_path)
    with pytest.raises(EngineError, match=f"{package} is not installed.*'neural'") as raised:
        await engine.start()
    assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE
    await engine.close()


@pytest.mark.parametrize("package", PACKAGES)
async def test_the_engines_keep_the_common_interface(tmp_path: Path, package: str) -> None:
    engine = make(package, tmp_path)
    protocol = {"faster_whisper": AsrEngine, "ctranslate2": NmtEngine, "piper": TtsEngine}[package]
    assert isinstance(engine, protocol)
    await engine.close()


async def test_work_before_the_start_is_an_error(tmp_path: Path) -> None:
    for work in (
        lambda: FasterWhisperAsr(tmp_path, ["en"]).recognise(b"", Listening("en")),
        lambda: Ctranslate2Nmt(tmp_path).translate("a", "en", "es"),
        lambda: PiperTts(tmp_path).speak("a", "es"),
    ):
        with pytest.raises(EngineError) as raised:
            await work()
        assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE


async def test_a_missing_path_and_a_broken_model_are_told_apart(tmp_path: Path) -> None:
    workers = Workers(1)

    def broken(module: object) -> None:
        raise RuntimeError("bad bytes")

    with pytest.raises(EngineError, match="no model at") as missing:
        await workers.load("json", tmp_path / "none", broken)
    with pytest.raises(EngineError, match="can't be loaded: bad bytes") as unreadable:
        await workers.load("json", tmp_path, broken)
    assert missing.value.code is ErrorCode.MODEL_NOT_AVAILABLE
    assert unreadable.value.code is ErrorCode.MODEL_LOAD_FAILED
    workers.close()


def test_folders_and_voices_name_what_can_be_done(tmp_path: Path) -> None:
    (tmp_path / "nmt" / "en-es").mkdir(parents=True)
    (tmp_path / "tts").mkdir()
    (tmp_path / "tts" / "es.onnx").touch()
    assert Ctranslate2Nmt(tmp_path).pairs == {("en", "es")}
    assert PiperTts(tmp_path).languages == {"es"}


def test_the_segments_of_whisper_become_text_and_words_in_samples() -> None:
    word = SimpleNamespace(word=" hello", start=0.5, end=1.0)
    segments = [
        SimpleNamespace(text=" hello", words=[word], avg_logprob=-0.1),
        SimpleNamespace(text=" world", words=None, avg_logprob=-0.3),
    ]
    found = recognition_of(segments, "en")
    assert found.text == "hello world"
    assert [(word.text, word.start_sample, word.end_sample) for word in found.words] == [("hello", 8000, 16000)]
    assert 0.8 < found.quality < 0.83
    assert recognition_of([], "en").text == ""


@pytest.mark.parametrize("fields", [{"asr": "faster-whisper"}, {"nmt": "ctranslate2"}, {"tts": "piper"}])
def test_a_neural_engine_without_a_model_folder_is_refused_at_once(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="LINGUA_NODE_MODEL_DIR"):
        build_engines(NodeSettings(**fields), tmp_path)
