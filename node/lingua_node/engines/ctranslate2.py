"""Translate with CTranslate2 and models of the user: ``nmt/SRC-TGT`` below the model folder.

Each folder holds a converted model and its ``tokenizer.json``, which marks the beginning and end of a text as the model
was trained with.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lingua_node.engines.base import EngineError, Translation
from lingua_node.engines.neural import Workers, failed
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from pathlib import Path

Pair = tuple[str, str]

_TIMEOUT_S = 30.0
_MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class _Model:
    translator: Any
    tokenizer: Any


class Ctranslate2Nmt:
    """Translate the pairs whose folders are there."""

    name = "ctranslate2"

    def __init__(self, model_dir: Path, workers: int = 1, timeout_s: float = _TIMEOUT_S) -> None:
        self._root = model_dir / "nmt"
        self._count = workers
        self._timeout_s = timeout_s
        self._workers = Workers(workers)
        self._paths = pair_folders(self._root)
        self._models: dict[Pair, _Model] = {}

    @property
    def pairs(self) -> frozenset[Pair]:
        """Name the directed pairs it translates."""
        return frozenset(self._paths)

    def note(self, src: str, tgt: str) -> str:
        """Say nothing: every pair is direct."""
        del src, tgt
        return ""

    async def start(self) -> None:
        """Load every pair.

        :raises EngineError: MODEL_NOT_AVAILABLE, MODEL_LOAD_FAILED.
        """
        # One after the other: the first error must not leave others loading.
        for pair, path in self._paths.items():
            self._models[pair] = await self._load(path)
        if not self._models:
            await self._workers.load("ctranslate2", self._root, lambda module: module)
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no folder SRC-TGT with a model in {self._root}")

    async def _load(self, path: Path) -> _Model:
        translator = await self._workers.load(
            "ctranslate2", path, lambda module: module.Translator(str(path), inter_threads=self._count)
        )
        file = path / "tokenizer.json"
        tokenizer = await self._workers.load("tokenizers", file, lambda module: module.Tokenizer.from_file(str(file)))
        return _Model(translator, tokenizer)

    async def close(self) -> None:
        """Let go of the models; safe to repeat."""
        self._models = {}
        self._workers.close()

    async def translate(self, text: str, src: str, tgt: str) -> Translation:
        """Translate one text.

        :raises EngineError: MODEL_NOT_AVAILABLE, NMT_TIMEOUT, PROCESSING_ERROR.
        """
        model = self._models.get((src, tgt))
        if model is None:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no translation from {src} to {tgt}")
        try:
            async with asyncio.timeout(self._timeout_s):
                translated = await self._workers.run(lambda: _translate(model, text))
        except TimeoutError as error:
            raise EngineError(ErrorCode.NMT_TIMEOUT, "the translation took too long") from error
        except Exception as error:
            raise failed(error) from error
        return Translation(translated, (src, tgt))


def pair_folders(root: Path) -> dict[Pair, Path]:
    """Find the folders that are named like a pair."""
    folders = sorted(path for path in root.glob("*-*") if path.is_dir()) if root.is_dir() else []
    return {(path.name.split("-")[0], path.name.split("-")[1]): path for path in folders}


def _translate(model: _Model, text: str) -> str:
    tokens = model.tokenizer.encode(text).tokens
    (result,) = model.translator.translate_batch([tokens], max_decoding_length=_MAX_TOKENS)
    ids = [model.tokenizer.token_to_id(token) for token in result.hypotheses[0]]
    return str(model.tokenizer.decode([number for number in ids if number is not None])).strip()
