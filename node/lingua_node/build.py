"""Make the engines that the settings name. Neural engines are imported only when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_node.engines.apertium import ApertiumNmt
from lingua_node.engines.base import EngineError
from lingua_node.engines.espeak import EspeakTts
from lingua_node.pipeline import Engines
from lingua_node.settings import AsrName, NmtName, NodeSettings, TtsName
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from pathlib import Path

    from lingua_node.engines.asr_models import AsrModel
    from lingua_node.engines.base import AsrEngine, NmtEngine, TtsEngine


def build_engines(settings: NodeSettings, folder: Path) -> Engines:
    """Make the engines, not yet started; models that are built go to ``folder``.

    :raises EngineError: MODEL_NOT_AVAILABLE when a package, a model or a file is missing.
    """
    return Engines(_asr(settings, folder), _nmt(settings), _tts(settings))


def _asr(settings: NodeSettings, folder: Path) -> AsrEngine:
    if settings.asr is AsrName.FASTER_WHISPER:
        from lingua_node.engines.faster_whisper import FasterWhisperAsr  # noqa: PLC0415 - an extra

        return FasterWhisperAsr(_model_dir(settings), settings.languages, workers=settings.max_jobs)
    try:
        from lingua_node.engines.pocketsphinx import PocketsphinxAsr  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, "the package pocketsphinx is not installed") from error
    return PocketsphinxAsr(_asr_models(settings, folder), settings.decoders_per_language)


def _asr_models(settings: NodeSettings, folder: Path) -> list[AsrModel]:
    from lingua_node.engines import asr_models  # noqa: PLC0415 - an extra

    models: dict[str, AsrModel] = {}
    if "en" in settings.languages:
        models["en"] = (
            asr_models.domain(settings.domain_sentences, folder)
            if settings.domain_sentences
            else asr_models.open_vocabulary()
        )
    if settings.phrasebook:
        language = settings.phrasebook_language
        models[language] = asr_models.phrasebook(settings.phrasebook, language, folder)
    if not models:
        raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, "pocketsphinx hears en, or the language of a phrasebook")
    return list(models.values())


def _nmt(settings: NodeSettings) -> NmtEngine:
    if settings.nmt is NmtName.CTRANSLATE2:
        from lingua_node.engines.ctranslate2 import Ctranslate2Nmt  # noqa: PLC0415 - an extra

        return Ctranslate2Nmt(_model_dir(settings), workers=settings.max_jobs)
    return ApertiumNmt(settings.languages, settings.pivots)


def _tts(settings: NodeSettings) -> TtsEngine:
    if settings.tts is TtsName.PIPER:
        from lingua_node.engines.piper import PiperTts  # noqa: PLC0415 - an extra

        return PiperTts(_model_dir(settings))
    return EspeakTts(settings.languages)


def _model_dir(settings: NodeSettings) -> Path:
    if settings.model_dir is None:
        raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, "LINGUA_NODE_MODEL_DIR must name the folder of the models")
    return settings.model_dir
