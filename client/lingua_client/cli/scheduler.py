"""``lingua scheduler``: become the scheduler program."""

import typer

from lingua_client.cli.passing import PASS_ON, become

__all__ = ["PASS_ON", "scheduler"]


def scheduler(context: typer.Context) -> None:
    """Run one scheduler (settings: LINGUA_* variables; all arguments are its own, try --help)."""
    become("lingua_scheduler", context.args, "scheduler")
