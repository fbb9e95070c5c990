"""The recordings of examples/speech, and how well they were heard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lingua_node.engines import ngram
from lingua_wire.audio import parse_wav

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True, slots=True)
class Sample:
    """A recording and what is said in it."""

    name: str
    pcm: bytes
    text: str


def read_sample(path: Path) -> Sample:
    wav = parse_wav(path.read_bytes())
    assert (wav.sample_rate, wav.channels) == (16000, 1)
    return Sample(path.stem, bytes(wav.pcm), path.with_suffix(".txt").read_text("utf-8").strip())


def count_word_errors(said: str, heard: str) -> int:
    """Count insertions, deletions and substitutions."""
    wanted, got = ngram.words_of(said), ngram.words_of(heard)
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        last, row[0] = row[:], i
        for j, other in enumerate(got, 1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (word != other))
    return row[-1]
