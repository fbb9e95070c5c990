"""How soon translated speech is heard: the whole system with one reference node and its domain language model."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from rows import Row, percentile, row

from lingua_client import Pace, Result, SessionSettings, connect
from lingua_client.cli.stack import Plan, running
from lingua_client.errors import LinguaError

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
RECORDINGS = ("go-forward.wav", "go-somewhere.wav")
ROUNDS = 8


def first_sound() -> list[Row]:
    """Measure ``first_sound_p50_ms``: from the end of the client's speech to the first translated sound.

    Reference: what the node's engines took for the same utterances, so the ratio is what the system adds.
    """
    try:
        results = asyncio.run(_listen())
    except LinguaError as error:
        raise RuntimeError(str(error)) from error
    heard = [result.waited_ms for result in results]
    worked = [result.timings.total_ms or 0.0 for result in results]
    return [row("first_sound_p50_ms", percentile(heard, 0.5), "ms", percentile(worked, 0.5), len(results))]


async def _listen() -> list[Result]:
    settings = {
        "LINGUA_NODE_LANGUAGES": "en,es",
        "LINGUA_NODE_DOMAIN_SENTENCES": str(EXAMPLES / "domain" / "travel.txt"),
        "LINGUA_NODE_MAX_JOBS": "1",
    }
    with tempfile.TemporaryDirectory(prefix="lingua-bench-") as folder:
        async with running(Plan(nodes=1, node_settings=settings), Path(folder)) as stack:
            return [await _one(stack.url, EXAMPLES / "speech" / name) for _ in range(ROUNDS) for name in RECORDINGS]


async def _one(url: str, recording: Path) -> Result:
    async with connect(url, source="en", target="es", settings=SessionSettings(vad_silence_ms=0)) as session:
        events = [event async for event in session.translate(recording, pace=Pace.REAL_TIME)]
    results = [event for event in events if isinstance(event, Result)]
    if len(results) != 1 or not results[0].speech:
        raise RuntimeError(f"{recording.name} gave {len(results)} results instead of one with speech")
    return results[0]
