"""``lingua translate FILE``: a recording through the service."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from lingua_client.cli import output
from lingua_client.cli.live import Growing
from lingua_client.cli.options import CONNECT_S, DEFAULT_URL, Json, Source, Target, Token, Url
from lingua_client.errors import LinguaError
from lingua_client.events import Event, Failed, Notice, Partial, Result
from lingua_client.once import join, why_nothing
from lingua_client.pacing import Pace
from lingua_client.session import connect
from lingua_client.settings import SessionSettings
from lingua_client.sources import check_file, write_wav

File = Annotated[Path, typer.Argument(help="The recording: WAV, or with the audio extra any format.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write the speech to this WAV file.")]
RealTime = Annotated[bool, typer.Option("--real-time", help="Send as fast as it was spoken, not as fast as allowed.")]
TwoWay = Annotated[bool, typer.Option("--two-way", help="Two people speak, each one of the two languages.")]


def translate(  # noqa: PLR0913, PLR0917 - options of a command line
    file: File,
    source: Source = "en",
    target: Target = "es",
    out: Out = None,
    real_time: RealTime = False,
    two_way: TwoWay = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Translate a recording: text, and with --out speech."""
    check_file(file)
    pace = Pace.REAL_TIME if real_time else Pace.FAST
    mode = "two_way_auto" if two_way else "one_way"
    settings = SessionSettings(speech=out is not None, connect_timeout_s=CONNECT_S)

    async def work() -> list[Event]:
        async with connect(url, source=source, target=target, mode=mode, token=token, settings=settings) as session:
            return await _watch(session.translate(file, pace=pace), as_json)

    events = asyncio.run(work())
    results = [event for event in events if isinstance(event, Result)]
    if not results:
        raise why_nothing(events)
    _write_speech(join(results), out)
    if as_json:
        output.print_json(_document(file, source, target, results, out))
    elif out is not None:
        output.console().print(
            Text(f"speech     {output.plain(out)} ({output.age(join(results).speech_ms)})", style="dim")
        )


async def _watch(events: Any, as_json: bool) -> list[Event]:  # noqa: ANN401 - an asynchronous iterator of events
    """Show events as they come, unless one JSON document is wanted; give them all."""
    seen: list[Event] = []
    console = output.console(stderr=as_json)
    with Growing(console) as line:
        async for event in events:
            seen.append(event)
            if isinstance(event, Partial):
                line.show(event)
            elif not as_json:
                line.clear()
                tell(console, event)
    return seen


def tell(console: Any, event: Event) -> None:  # noqa: ANN401 - rich's console
    """Print what a person wants to know of an event, in a line or two."""
    if isinstance(event, Result):
        heard = f"[{event.source} -> {event.target}] " if event.source else ""
        console.print(Text.assemble((f"{heard}heard      ", "dim"), output.plain(event.text)))
        console.print(Text.assemble((f"{heard}translated ", "dim"), (output.plain(event.translation), "bold green")))
    elif isinstance(event, Failed):
        after = "sent again" if event.resent else "no result"
        console.print(Text(f"an utterance failed ({output.plain(event.code)}): {after}", style="yellow"))
    elif isinstance(event, Notice):
        console.print(Text(f"{output.plain(event.message)} [{output.plain(event.code)}]", style="yellow"))


def _write_speech(result: Result, out: Path | None) -> None:
    if out is None:
        return
    try:
        write_wav(out, result.speech, result.sample_rate)
    except OSError as trouble:
        raise LinguaError("CANNOT_WRITE", f"cannot write {out}: {trouble.strerror}") from trouble


def _document(file: Path, source: str, target: str, results: list[Result], out: Path | None) -> dict[str, Any]:
    whole = join(results)
    return {
        "file": str(file),
        "source": source,
        "target": target,
        "text": whole.text,
        "translation": whole.translation,
        "speech": {"file": str(out), "ms": round(whole.speech_ms), "sample_rate": whole.sample_rate} if out else None,
        "timings": dataclasses.asdict(whole.timings),
        "utterances": [_utterance(result) for result in results],
    }


def _utterance(result: Result) -> dict[str, Any]:
    return {
        "index": result.utterance_index,
        "job_id": result.job_id,
        "node_id": result.node_id,
        "source": result.source,
        "target": result.target,
        "text": result.text,
        "translation": result.translation,
        "waited_ms": round(result.waited_ms, 1),
    }
