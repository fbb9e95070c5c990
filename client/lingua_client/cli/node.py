"""``lingua node``: become the reference node."""

import typer

from lingua_client.cli.passing import PASS_ON, become

__all__ = ["PASS_ON", "node"]


def node(context: typer.Context) -> None:
    """Run one reference node (settings: LINGUA_NODE_* variables; all arguments are its own, try --help)."""
    become("lingua_node", context.args, "node")
