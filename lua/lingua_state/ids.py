"""Make identifiers: 128 random bits, never a counter, so that no rollback of the store gives the same one twice.

Session and job ids carry their cell (``c0.<hex>``), so that any instance finds the cell by reading the id.
"""

from __future__ import annotations

import secrets

_BYTES = 16


def new_session_id(cell: str = "") -> str:
    """Make the id of a session."""
    return _in_cell(cell)


def new_job_id(cell: str = "") -> str:
    """Make the id of a job."""
    return _in_cell(cell)


def new_incarnation() -> str:
    """Make the name of one connection of a node."""
    return secrets.token_hex(_BYTES)


def new_epoch() -> str:
    """Make the name of a history of the store."""
    return secrets.token_hex(_BYTES)


def cell_of(identifier: str) -> str:
    """Read the cell of a session or job id; empty where there is only one."""
    cell, dot, _ = identifier.partition(".")
    return cell if dot else ""


def _in_cell(cell: str) -> str:
    name = secrets.token_hex(_BYTES)
    return f"{cell}.{name}" if cell else name
