"""Measure the engines on recordings: ``python -m lingua_node.measure FOLDER`` (docs/node.md shows the figures).

The folder holds WAV files of 16 kHz, each with its words in a ``.txt`` file; names that begin with ``es-`` are Spanish.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lingua_node.build import build_engines
from lingua_node.engines.base import ASR_RATE, EngineError, Listening, Recognition
from lingua_node.engines.ngram import words_of
from lingua_node.pipeline import Engines, JobPipeline
from lingua_node.settings import NodeSettings
from lingua_wire.audio import parse_wav
from lingua_wire.errors import WireError
from lingua_wire.node_messages import JobAssign

if TYPE_CHECKING:
    from collections.abc import Sequence

_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Recording:
    """Speech and what is said in it."""

    language: str
    pcm: bytes
    text: str

    @property
    def seconds(self) -> float:
        """Tell how long it is."""
        return len(self.pcm) / 2 / ASR_RATE


def read_recordings(folder: Path) -> list[Recording]:
    """Read every recording of a folder that has its words beside it."""
    found = []
    for path in sorted(folder.glob("*.wav")):
        wav, text = parse_wav(path.read_bytes()), path.with_suffix(".txt")
        if wav.sample_rate == ASR_RATE and wav.channels == 1 and text.exists():
            language = "es" if path.stem.startswith("es-") else "en"
            found.append(Recording(language, bytes(wav.pcm), text.read_text("utf-8")))
    return found


def word_errors(said: str, heard: str) -> int:
    """Count the words that were put in, left out or taken for others."""
    wanted, got = words_of(said), words_of(heard)
    row = list(range(len(got) + 1))
    for number, word in enumerate(wanted, 1):
        last, row = row, [number]
        for at, other in enumerate(got, 1):
            row.append(min(last[at] + 1, row[at - 1] + 1, last[at - 1] + (word != other)))
    return row[-1]


async def measure_asr(engines: Engines, recordings: Sequence[Recording], name: str) -> str:
    """Recognise every recording some times; give a line of figures."""
    errors = words = 0
    times_ms: list[float] = []
    heard = Recognition("", "")
    for recording in recordings:
        for _ in range(_REPEATS):
            start = time.perf_counter()
            heard = await engines.asr.recognise(recording.pcm, Listening(recording.language))
            times_ms.append((time.perf_counter() - start) * 1000)
        errors += word_errors(recording.text, heard.text)
        words += len(words_of(recording.text))
    rtf = sum(times_ms) / 1000 / _REPEATS / sum(recording.seconds for recording in recordings)
    rate = 100 * errors / words
    return f"{name:24} word errors {rate:5.1f} %   p50 {statistics.median(times_ms):6.0f} ms   RTF {rtf:.3f}"


async def measure_jobs(engines: Engines, recordings: Sequence[Recording]) -> str:
    """Take every recording through the whole pipeline; give a line of figures."""
    pipeline = JobPipeline(engines)
    laps: dict[str, list[float]] = {}
    for number, recording in enumerate(recordings):
        outcome = await pipeline.run(_job(number, recording), recording.pcm, _ignore)
        for name, value in outcome.timings_ms.items():
            laps.setdefault(name, []).append(value)
    shown = "   ".join(f"{name} {statistics.median(values):.1f}" for name, values in laps.items())
    return f"{'whole jobs, p50':24} {shown}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lingua_node.measure", description="Measure the node's engines.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--domain-sentences", type=Path)
    parser.add_argument("--phrasebook", type=Path)
    try:
        asyncio.run(_measure(parser.parse_args(arguments)))
    except (EngineError, WireError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _measure(given: argparse.Namespace) -> None:
    recordings = read_recordings(given.folder)
    english = [recording for recording in recordings if recording.language == "en"]
    spanish = [recording for recording in recordings if recording.language == "es"]
    if not english:
        raise OSError(f"{given.folder}: no recording with its words")
    await _measure_mode("open vocabulary", NodeSettings(max_jobs=1), english)
    if given.domain_sentences:
        await _measure_mode("domain", NodeSettings(max_jobs=1, domain_sentences=given.domain_sentences), english)
    if given.phrasebook and spanish:
        settings = NodeSettings(max_jobs=1, languages=frozenset({"es", "ca"}), phrasebook=given.phrasebook)
        await _measure_mode("phrasebook", settings, spanish)


async def _measure_mode(name: str, settings: NodeSettings, recordings: Sequence[Recording]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engines = build_engines(settings, Path(folder))
        await engines.start()
        try:
            sys.stdout.write(await measure_asr(engines, recordings, name) + "\n")
            sys.stdout.write(await measure_jobs(engines, recordings) + "\n")
        finally:
            await engines.close()


def _job(number: int, recording: Recording) -> JobAssign:
    fields = {
        "job_id": f"measure-{number}",
        "attempt_id": 1,
        "session_id": "measure",
        "utterance_index": number,
        "src_lang": recording.language,
        "tgt_lang": "ca",
        "pipeline": {},
        "audio": "",
        "audio_format": "pcm16",
        "sample_rate": ASR_RATE,
        "trace_id": "measure",
    }
    return JobAssign.model_validate(fields)


async def _ignore(text: str, final: bool) -> None:
    del text, final


if __name__ == "__main__":
    sys.exit(main())
