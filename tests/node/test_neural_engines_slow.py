"""Engines with a model of the user, on the real packages of the extra ``neural`` and models that a test can make."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from lingua_node.engines.base import EngineError
from lingua_node.engines.ctranslate2 import Ctranslate2Nmt
from lingua_node.engines.faster_whisper import FasterWhisperAsr
from lingua_node.engines.piper import PiperTts
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

WORDS = ["<unk>", "<s>", "</s>", "hello", "world", "hola", "mundo"]


def write_random_translator(folder: Path) -> None:
    """Make the smallest Transformer that CTranslate2 loads: random weights, seven words."""
    import ctranslate2
    import numpy as np

    tokenizers = importlib.import_module("tokenizers")
    spec = ctranslate2.specs.TransformerSpec.from_config(num_layers=1, num_heads=2)
    random, width = np.random.default_rng(1), 8

    def matrix(rows: int, columns: int) -> Any:
        return random.normal(size=(rows, columns)).astype(np.float32)

    def linear(layer: Any, rows: int, columns: int) -> None:
        layer.weight, layer.bias = matrix(rows, columns), np.zeros(rows, np.float32)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(width, np.float32), np.zeros(width, np.float32)

    def attention(layer: Any, sizes: tuple[int, ...]) -> None:
        norm(layer.layer_norm)
        for part, rows in zip(layer.linear, sizes, strict=True):
            linear(part, rows, width)

    def feed_forward(layer: Any) -> None:
        norm(layer.layer_norm)
        linear(layer.linear_0, 16, width)
        linear(layer.linear_1, width, 16)

    for side in (spec.encoder, spec.decoder):
        embeddings = side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings
        embeddings.weight = matrix(len(WORDS), width)
        norm(side.layer_norm)
        for layer in side.layer:
            attention(layer.self_attention, (3 * width, width))
            feed_forward(layer.ffn)
    for layer in spec.decoder.layer:
        attention(layer.attention, (width, 2 * width, width))
    linear(spec.decoder.projection, len(WORDS), width)
    spec.register_source_vocabulary(WORDS)
    spec.register_target_vocabulary(WORDS)
    spec.validate()
    folder.mkdir(parents=True)
    spec.save(str(folder))
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


async def test_a_random_translator_loads_and_says_words_of_its_own(tmp_path: Path) -> None:
    write_random_translator(tmp_path / "nmt" / "en-es")
    engine = Ctranslate2Nmt(tmp_path)
    await engine.start()
    first = await engine.translate("hello world", "en", "es")
    assert first == await engine.translate("hello world", "en", "es")
    assert set(first.text.split()) <= set(WORDS)
    assert first.route == ("en", "es")
    await engine.close()


async def test_a_translator_without_its_tokenizer_is_not_available(tmp_path: Path) -> None:
    write_random_translator(tmp_path / "nmt" / "en-es")
    (tmp_path / "nmt" / "en-es" / "tokenizer.json").unlink()
    with pytest.raises(EngineError, match=r"tokenizer\.json") as raised:
        await Ctranslate2Nmt(tmp_path).start()
    assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE


def broken_translator(root: Path) -> Ctranslate2Nmt:
    folder = root / "nmt" / "en-es"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"not a model")
    return Ctranslate2Nmt(root)


def broken_recogniser(root: Path) -> FasterWhisperAsr:
    (root / "asr").mkdir()
    (root / "asr" / "model.bin").write_bytes(b"not a model")
    return FasterWhisperAsr(root, ["en"])


def broken_voice(root: Path) -> PiperTts:
    (root / "tts").mkdir()
    (root / "tts" / "es.onnx").write_bytes(b"not a voice")
    (root / "tts" / "es.onnx.json").write_text(json.dumps({"audio": {"sample_rate": 22050}}))
    return PiperTts(root)


@pytest.mark.parametrize("make", [broken_translator, broken_recogniser, broken_voice])
async def test_a_broken_model_is_reported_with_its_code(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    with pytest.raises(EngineError, match="can't be loaded") as raised:
        await make(tmp_path).start()
    assert raised.value.code is ErrorCode.MODEL_LOAD_FAILED


@pytest.mark.parametrize(
    "make", [Ctranslate2Nmt, PiperTts, lambda root: FasterWhisperAsr(root, ["en"])], ids=["nmt", "tts", "asr"]
)
async def test_a_missing_model_is_reported_with_its_code(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    with pytest.raises(EngineError, match="no ") as raised:
        await make(tmp_path).start()
    assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE
