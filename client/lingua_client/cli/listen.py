"""``lingua listen``: the microphone through the service, until Ctrl-C."""

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from lingua_client.cli import output
from lingua_client.cli.live import Growing
from lingua_client.cli.options import CONNECT_S, DEFAULT_URL, Json, Source, Target, Token, Url
from lingua_client.cli.translate import tell
from lingua_client.events import Partial, Result
from lingua_client.microphone import Microphone
from lingua_client.session import Session, connect
from lingua_client.settings import SessionSettings
from lingua_client.sources import write_wav

Device = Annotated[str | None, typer.Option("--device", help="The microphone, by name or number.")]
TwoWay = Annotated[bool, typer.Option("--two-way", help="Two people speak, each one of the two languages.")]
Speech = Annotated[Path | None, typer.Option("--speech", help="Write each translation's speech into this folder.")]


def listen(  # noqa: PLR0913, PLR0917 - options of a command line
    source: Source = "en",
    target: Target = "es",
    two_way: TwoWay = False,
    device: Device = None,
    speech: Speech = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Translate what the microphone hears, until Ctrl-C (with --json one document per result)."""
    mode = "two_way_auto" if two_way else "one_way"
    settings = SessionSettings(speech=speech is not None, connect_timeout_s=CONNECT_S)

    async def work() -> None:
        async with connect(url, source=source, target=target, mode=mode, token=token, settings=settings) as session:
            await _converse(session, Microphone(_number(device)), speech, as_json)

    asyncio.run(work())


async def _converse(session: Session, microphone: Microphone, folder: Path | None, as_json: bool) -> None:
    """Show what comes until the person stops; then wait for what is owed, and end."""
    console = output.console()
    if not as_json:
        console.print(Text("Speak. Ctrl-C ends.", style="dim"))
    sending = asyncio.create_task(session.stream(microphone))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, sending.cancel)
    ending = asyncio.create_task(_finish_after(sending, session))
    try:
        with Growing(console) as line:
            async for event in session:
                if isinstance(event, Partial) and not as_json:
                    line.show(event)
                elif isinstance(event, Result):
                    line.clear()
                    _show(event, folder, as_json)
                elif not as_json:
                    tell(console, event)
        await ending
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        sending.cancel()
        ending.cancel()


async def _finish_after(sending: asyncio.Task[None], session: Session) -> None:
    """End the session when the person stops, and when the microphone fails."""
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await sending
    finally:
        await session.finish()


def _show(result: Result, folder: Path | None, as_json: bool) -> None:
    file = None
    if folder is not None and result.speech:
        file = folder / f"{time.strftime('%H%M%S')}-{result.utterance_index}.wav"
        write_wav(file, result.speech, result.sample_rate)
    if as_json:
        output.print_json(
            {
                "text": result.text,
                "translation": result.translation,
                "source": result.source,
                "target": result.target,
                "speech": str(file) if file else None,
            }
        )
        return
    tell(output.console(), result)


def _number(device: str | None) -> str | int | None:
    return int(device) if device is not None and device.isdigit() else device
