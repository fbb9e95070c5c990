"""``lingua bench``: the project's benchmarks in a checkout, else a small load test against a service."""

import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from lingua_client.cli import output
from lingua_client.cli.checkout import root
from lingua_client.cli.options import DEFAULT_URL, Json, Source, Target, Token, Url
from lingua_client.errors import LinguaError
from lingua_client.events import Result
from lingua_client.pacing import Pace
from lingua_client.session import connect
from lingua_client.settings import SessionSettings
from lingua_client.sources import read_file

Names = Annotated[list[str] | None, typer.Argument(help="Benchmarks to run (in a checkout, without --file).")]
File = Annotated[Path | None, typer.Option("--file", help="Load a running service with this recording instead.")]
Sessions = Annotated[int, typer.Option("--sessions", min=1, max=2000, help="With --file: how many at once.")]
Rounds = Annotated[int, typer.Option("--rounds", min=1, max=1000, help="With --file: recordings for each session.")]


def bench(  # noqa: PLR0913, PLR0917 - options of a command line
    names: Names = None,
    file: File = None,
    sessions: Sessions = 4,
    rounds: Rounds = 3,
    source: Source = "en",
    target: Target = "es",
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Run the benchmarks (in a checkout), or with --file load a running service and measure its answers."""
    if file is None:
        raise typer.Exit(_project_benchmarks(names or []))
    pcm = read_file(file)

    async def one() -> list[float]:
        settings = SessionSettings(partial_interval_ms=0)
        async with connect(url, source=source, target=target, token=token, settings=settings) as session:
            return [await _round(session, pcm) for _ in range(rounds)]

    async def all_of_them() -> list[float]:
        return [ms for measured in await asyncio.gather(*(one() for _ in range(sessions))) for ms in measured]

    started = time.monotonic()
    measured = sorted(asyncio.run(all_of_them()))
    _report(measured, time.monotonic() - started, len(pcm) / 32_000, as_json)


async def _round(session: Any, pcm: bytes) -> float:  # noqa: ANN401 - a session
    """Send the recording and wait for its result; give the ms from the end of the audio to the result."""
    await session.stream(pcm, pace=Pace.FAST)
    ended = time.monotonic()
    async for event in session:
        if isinstance(event, Result):
            return (time.monotonic() - ended) * 1000
    raise LinguaError("NO_OUTCOME", "a recording got no result")


def _report(measured: list[float], seconds: float, audio_s: float, as_json: bool) -> None:
    document = {
        "results": len(measured),
        "results_per_s": round(len(measured) / seconds, 2),
        "audio_s_per_s": round(len(measured) * audio_s / seconds, 2),
        "wait_p50_ms": round(statistics.median(measured), 1),
        "wait_p99_ms": round(measured[min(len(measured) - 1, len(measured) * 99 // 100)], 1),
    }
    if as_json:
        output.print_json(document)
    else:
        output.print_table(("what", "value"), list(document.items()), empty="")


def _project_benchmarks(names: list[str]) -> int:
    program = root() / "bench" / "run.py"
    if not program.is_file():
        raise LinguaError("NOT_A_CHECKOUT", "the benchmarks are in the source tree", "Use --file to load a service.")
    return subprocess.run([sys.executable, str(program), *names], check=False).returncode  # noqa: S603 - our own file
