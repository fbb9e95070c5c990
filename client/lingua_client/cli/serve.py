"""``lingua serve``: a whole service on this machine, until Ctrl-C."""

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lingua_client.cli import output
from lingua_client.cli.options import Json
from lingua_client.cli.stack import Plan, Stack, running

Schedulers = Annotated[int, typer.Option("--schedulers", min=1, max=16, help="How many schedulers.")]
Nodes = Annotated[int, typer.Option("--nodes", min=0, max=64, help="How many reference nodes.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The first scheduler's port (0: any free one).")]
Host = Annotated[str, typer.Option("--host", help="The address the schedulers listen on.")]
Redis = Annotated[str | None, typer.Option("--redis", envvar="REDIS_URL", help="A Redis to use, not an embedded one.")]
Domain = Annotated[Path | None, typer.Option("--domain", exists=True, help="English sentences the nodes shall expect.")]
Phrasebook = Annotated[Path | None, typer.Option("--phrasebook", exists=True, help="Spanish phrases to understand.")]


def serve(  # noqa: PLR0913, PLR0917 - options of a command line
    schedulers: Schedulers = 1,
    nodes: Nodes = 2,
    port: Port = 5010,
    host: Host = "127.0.0.1",
    redis: Redis = None,
    domain: Domain = None,
    phrasebook: Phrasebook = None,
    as_json: Json = False,
) -> None:
    """Run a store, schedulers and nodes in one process group, until Ctrl-C."""
    plan = Plan(schedulers, nodes, port, host, redis, node_settings(domain, phrasebook))
    # Kept when something goes wrong: the error names a log in it.
    folder = Path(tempfile.mkdtemp(prefix="lingua-serve-"))
    asyncio.run(_serve(plan, folder, as_json))
    shutil.rmtree(folder, ignore_errors=True)


def node_settings(domain: Path | None, phrasebook: Path | None) -> dict[str, str]:
    """Write the variables that tell reference nodes what speech to expect."""
    files = {"LINGUA_NODE_DOMAIN_SENTENCES": domain, "LINGUA_NODE_PHRASEBOOK": phrasebook}
    return {name: str(file.resolve()) for name, file in files.items() if file is not None}


async def until_stopped(stack: Stack) -> None:
    """Wait for Ctrl-C or SIGTERM.

    :raises LinguaError: a program of the service ended by itself.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for word in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(word, stopped.set)
    waiting = asyncio.create_task(stopped.wait())
    ending = asyncio.create_task(stack.programs.first_end())
    try:
        await asyncio.wait({waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.is_set():
            stack.programs.check()
    finally:
        for task in (waiting, ending):
            task.cancel()
        for word in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(word)


def print_urls(console: Console, stack: Stack) -> None:
    """Say where the service is."""
    for number, url in enumerate(stack.urls, start=1):
        console.print(Text.assemble((f"scheduler {number}  ", "dim"), (url, "bold"), f"  (dashboard {url}/dashboard)"))
    socket = stack.url.replace("http", "ws", 1)
    console.print(Text.assemble(("sessions     ", "dim"), f"{socket}/ws/session"))
    console.print(
        Text.assemble(("nodes        ", "dim"), f"{socket}/ws/node  ({', '.join(stack.nodes) or 'none yet'})")
    )
    console.print(Text.assemble(("store        ", "dim"), stack.redis_url))
    console.print(Text.assemble(("logs         ", "dim"), str(stack.programs.folder)))


async def _serve(plan: Plan, folder: Path, as_json: bool) -> None:
    console = output.console(stderr=as_json)
    with console.status("starting") as status:
        starting = running(plan, folder, lambda part: status.update(f"starting: {part}"))
        stack = await starting.__aenter__()
    try:
        if as_json:
            output.print_json(_document(stack))
        else:
            print_urls(console, stack)
            console.print(Text("Ctrl-C ends it all.", style="dim"))
        await until_stopped(stack)
        console.print(Text("stopping", style="dim"))
    finally:
        await starting.__aexit__(None, None, None)


def _document(stack: Stack) -> dict[str, Any]:
    return {
        "urls": stack.urls,
        "redis_url": stack.redis_url,
        "nodes": list(stack.nodes),
        "logs": str(stack.programs.folder),
        "mark": stack.programs.mark,
        "pids": {program.name: program.pid for program in stack.programs.started},
    }
