"""Prepare what a pocketsphinx decoder loads: open vocabulary, one domain, or a phrasebook.

The acoustic model is always the English one of the pocketsphinx wheel. Files are written to a folder of the node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pocketsphinx

from lingua_node.engines import ngram
from lingua_node.engines.base import EngineError
from lingua_node.engines.spelling import spanish
from lingua_wire.codes import ErrorCode

PHRASE_FIT = -4.0
"""The least mean log score at which an utterance counts as a phrase of the book; measured in docs/node.md."""

_NOISE_LEVEL = 30

Pronounce = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class AsrModel:
    """What one decoder loads, and how to read what it says.

    ``phrases`` maps the words heard to the phrase as written; when it is not empty, nothing else counts as heard.
    ``unknown_words`` are words of the user's file that have no pronunciation: the decoder can't hear them.
    """

    language: str
    note: str
    spec: Mapping[str, Any]
    phrases: Mapping[str, str] = field(default_factory=dict)
    unknown_words: tuple[str, ...] = ()


def open_vocabulary() -> AsrModel:
    """Listen to any English with the language model of the wheel."""
    parameters = {
        "hmm": _model("en-us"),
        "lm": _model("en-us.lm.bin"),
        "dict": _model("cmudict-en-us.dict"),
        "fwdflat": True,
    }
    note = "open vocabulary, about one word in four wrong"
    return AsrModel("en", note, {"parameters": parameters, "any_word": "a", "noise": 1})


def domain(sentences: Path, folder: Path) -> AsrModel:
    """Build an English language model from a file of sentences, one a line.

    :raises EngineError: MODEL_NOT_AVAILABLE when the file is missing or has no sentence.
    """
    lines = _read(sentences)
    known, unknown = _split(lines, english)
    if not known:
        raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"{sentences}: no sentence with known words")
    lm_path = folder / "domain.arpa"
    lm_path.write_text("\n".join(ngram.arpa_lines(ngram.build(known))) + "\n")
    parameters = {
        "hmm": _model("en-us"),
        "lm": str(lm_path),
        "dict": _write_dictionary(folder / "domain.dict", known, english),
        "fwdflat": False,
    }
    note = f"domain language model of {len(known)} sentences"
    spec = {"parameters": parameters, "any_word": known[0][0], "noise": 1}
    return AsrModel("en", note, spec, unknown_words=unknown)


def phrasebook(phrases: Path, language: str, folder: Path) -> AsrModel:
    """Listen only to the phrases of a file, one a line; the text given back is the phrase as it stands there.

    :raises EngineError: MODEL_NOT_AVAILABLE when the file is missing, empty, or the language has no pronunciation.
    """
    pronounce = PRONUNCIATIONS.get(language)
    if pronounce is None:
        raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no pronunciation rules for {language}")
    known, unknown = _split(_read(phrases), pronounce)
    if not known:
        raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"{phrases}: no phrase with known words")
    written = {" ".join(ngram.words_of(line)): line.strip() for line in phrases.read_text("utf-8").splitlines()}
    heard = {" ".join(words): written[" ".join(words)] for words in known}
    parameters = {
        "hmm": _model("en-us"),
        "lm": None,
        "dict": _write_dictionary(folder / f"phrasebook-{language}.dict", known, pronounce),
        "beam": 1e-150,
        "pbeam": 1e-150,
        "wbeam": 1e-120,
        "lw": 1.0,
    }
    spec = {"parameters": parameters, "any_word": known[0][0], "grammar": _jsgf(heard), "noise": _NOISE_LEVEL}
    return AsrModel(language, f"phrasebook of {len(heard)} phrases", spec, phrases=heard, unknown_words=unknown)


def english(word: str) -> tuple[str, ...]:
    """Look a word up in the pronouncing dictionary of the wheel."""
    return _english_dictionary().get(word, ())


PRONUNCIATIONS: Mapping[str, Pronounce] = {"en": english, "es": spanish}


@cache
def _english_dictionary() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    with Path(_model("cmudict-en-us.dict")).open(encoding="utf-8") as lines:
        for line in lines:
            word, _, sounds = line.partition(" ")
            word = word.partition("(")[0]
            found[word] = (*found.get(word, ()), sounds.strip())
    return found


def _model(name: str) -> str:
    return str(Path(pocketsphinx.get_model_path()) / "en-us" / name)


def _read(path: Path) -> tuple[tuple[str, ...], ...]:
    try:
        return ngram.read_sentences(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"{path}: can't be read: {error}") from error


def _split(sentences: Iterable[tuple[str, ...]], pronounce: Pronounce) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Keep the sentences whose words can all be said; name the words that can't."""
    listed = list(dict.fromkeys(sentences))
    unknown = {word for sentence in listed for word in sentence if not pronounce(word)}
    return [sentence for sentence in listed if unknown.isdisjoint(sentence)], tuple(sorted(unknown))


def _write_dictionary(path: Path, sentences: Iterable[tuple[str, ...]], pronounce: Pronounce) -> str:
    words = sorted({word for sentence in sentences for word in sentence})
    lines = [
        f"{word}{f'({number})' if number > 1 else ''} {sounds}"
        for word in words
        for number, sounds in enumerate(pronounce(word), 1)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def _jsgf(phrases: Iterable[str]) -> str:
    return f"#JSGF V1.0;\ngrammar phrasebook;\npublic <phrase> = {' | '.join(phrases)};\n"
