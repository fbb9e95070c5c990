"""``lingua demo``: a whole service is started, shown at work, hurt, and ended. ``make demo`` runs this."""

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from lingua_client.cli import demo_acts, output
from lingua_client.cli.checkout import root
from lingua_client.cli.options import Json
from lingua_client.cli.page import Page
from lingua_client.cli.processes import Programs
from lingua_client.cli.serve import node_settings, print_urls, until_stopped
from lingua_client.cli.stack import Plan, Stack, check_installed
from lingua_client.errors import LinguaError

Keep = Annotated[bool, typer.Option("--keep", help="Leave the service up at the end and print where it is.")]
Out = Annotated[Path | None, typer.Option("--out", help="Where the spoken translations go (default: build/demo).")]

_NODES = 2
#: Only what the demo speaks: each further language is one more program to start.
_LANGUAGES = {"LINGUA_NODE_LANGUAGES": "en,es"}
#: Audio stays in the scheduler until there is a result, so that the job of a lost node itself gets a next attempt. By
#: default it is let go when a node has it, and the client sends it again as a new job.
_KEEP_AUDIO = {"LINGUA_AUDIO_RELEASE": "result"}


def demo(keep: Keep = False, out: Out = None, as_json: Json = False) -> None:
    """Start a service, translate real recordings, let two people talk, kill a node in mid-job; end by itself."""
    folder = Path(tempfile.mkdtemp(prefix="lingua-demo-"))
    kept = ""
    try:
        document = asyncio.run(_demo(folder, out or root() / "build" / "demo", keep, as_json))
    except LinguaError as trouble:
        kept = f" The logs are in {folder}."
        raise LinguaError(trouble.code, trouble.message, f"{trouble.remedy}{kept}".strip()) from trouble
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        output.print_json(document)


async def _demo(folder: Path, out: Path, keep: bool, as_json: bool) -> dict[str, Any]:
    page = Page(output.console(stderr=as_json))
    started = time.monotonic()
    examples = root() / "examples"
    settings = node_settings(examples / "domain" / "travel.txt", examples / "phrasebook" / "es.txt") | _LANGUAGES
    plan = Plan(schedulers=1, nodes=_NODES, node_settings=settings, scheduler_settings=_KEEP_AUDIO)
    stack = Stack(plan, Programs(folder))
    try:
        await _start(page, stack)
        acts = [await act(demo_acts.Stage(page, stack, examples / "speech", out)) for act in demo_acts.ACTS]
        if keep:
            await _keep(page, stack)
    finally:
        page.heading("The end")
        with page.console.status("stopping"):
            stubborn = await stack.programs.stop()
    _check_gone(page, stack, stubborn)
    seconds = time.monotonic() - started
    page.line("in all", f"{seconds:.1f} s", note="everything shown was checked; a step that did not happen ends with 1")
    return {"ok": True, "seconds": round(seconds, 1), "acts": acts}


async def _start(page: Page, stack: Stack) -> None:
    check_installed()
    page.heading("Lingua: a whole service on this machine")
    with page.step("store", "starting Valkey") as came:
        await stack.start_store()
        came.append(stack.redis_url)
    with page.step("scheduler", "starting") as came:
        await stack.start_schedulers()
        came.append(stack.url)
    with page.step("nodes", f"starting {_NODES}, with pocketsphinx, Apertium and espeak-ng") as came:
        await stack.start_nodes()
        came.append(f"{', '.join(stack.nodes)} offer {' '.join(await stack.pairs())}")


async def _keep(page: Page, stack: Stack) -> None:
    page.heading("It stays up")
    print_urls(page.console, stack)
    page.console.print(Text("Ctrl-C ends it all.", style="dim"))
    await until_stopped(stack)


def _check_gone(page: Page, stack: Stack, stubborn: list[int]) -> None:
    if stubborn:
        raise LinguaError("LEFT_RUNNING", f"processes {stubborn} did not end by themselves and were killed")
    page.done("stopped", f"{len(stack.programs.started)} programs, and nothing of theirs is left running")
