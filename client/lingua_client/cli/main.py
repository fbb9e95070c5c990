"""The command's entry: put the subcommands together, run one, turn every ending into an exit code."""

import os
import signal
import sys
import traceback
from typing import Annotated, Any

import typer

from lingua_client.cli import (
    bench,
    demo,
    explain,
    job,
    jobs,
    listen,
    node,
    nodes,
    output,
    pairs,
    pools,
    scheduler,
    serve,
    sessions,
    translate,
    version,
)
from lingua_client.cli.exits import ExitCode, exit_code
from lingua_client.errors import LinguaError

app = typer.Typer(
    name="lingua",
    help="Live speech translation: translate, watch the service, run it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_TRY = "Try it"
_ASK = "Ask a running service"
_RUN = "Run the programs"

app.command("demo", rich_help_panel=_TRY)(demo.demo)
app.command("translate", rich_help_panel=_TRY)(translate.translate)
app.command("listen", rich_help_panel=_TRY)(listen.listen)
app.command("nodes", rich_help_panel=_ASK)(nodes.nodes)
app.command("pools", rich_help_panel=_ASK)(pools.pools)
app.command("pairs", rich_help_panel=_ASK)(pairs.pairs)
app.command("jobs", rich_help_panel=_ASK)(jobs.jobs)
app.command("job", rich_help_panel=_ASK)(job.job)
app.command("sessions", rich_help_panel=_ASK)(sessions.sessions)
app.command("explain", rich_help_panel=_ASK)(explain.explain)
app.command("serve", rich_help_panel=_RUN)(serve.serve)
app.command("scheduler", rich_help_panel=_RUN, context_settings=scheduler.PASS_ON)(scheduler.scheduler)
app.command("node", rich_help_panel=_RUN, context_settings=node.PASS_ON)(node.node)
app.command("bench", rich_help_panel=_RUN)(bench.bench)
app.command("version", rich_help_panel=_RUN)(version.version)


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", envvar="LINGUA_DEBUG", help="Show where an error arose.")] = False,
) -> None:
    if debug:
        os.environ["LINGUA_DEBUG"] = "1"


def main() -> None:
    """Run the command line and exit. A SIGTERM ends it as Ctrl-C does: with everything it started."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command line and give its exit code; nothing but a message for people leaves on stderr."""
    try:
        return int(app(arguments, standalone_mode=False) or ExitCode.OK)
    except LinguaError as error:
        return _tell(error, arguments)
    except typer.TyperException as wrong:
        # Without a command typer has printed the help and has nothing more to say.
        return _tell(_usage(wrong), arguments) if wrong.format_message() else ExitCode.USAGE
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python must not complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as bug:
        return _tell(_unexpected(bug), arguments)


def _tell(error: LinguaError, arguments: list[str]) -> int:
    if os.environ.get("LINGUA_DEBUG"):
        traceback.print_exception(error)
    output.print_error(error, as_json="--json" in arguments)
    return exit_code(error)


def _usage(wrong: typer.TyperException) -> LinguaError:
    context: Any = getattr(wrong, "ctx", None)
    path = context.command_path if context is not None else "lingua"
    return LinguaError("USAGE", wrong.format_message().rstrip("."), f"See {path} --help.")


def _unexpected(bug: Exception) -> LinguaError:
    error = LinguaError(
        "UNEXPECTED", f"{type(bug).__name__}: {bug}", "Run it again with lingua --debug, and report it."
    )
    error.__cause__ = bug
    return error
