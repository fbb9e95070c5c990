"""The source tree, where the command runs from one: it has recordings and benchmarks that the package has not."""

from __future__ import annotations

from pathlib import Path

from lingua_client.errors import LinguaError


def root() -> Path:
    """Give the root of the source tree.

    :raises LinguaError: the package was installed without one (``NOT_A_CHECKOUT``).
    """
    found = Path(__file__).resolve().parents[3]
    if not (found / "examples").is_dir():
        raise LinguaError("NOT_A_CHECKOUT", "this needs the source tree of Lingua", "Clone it, and run: make demo")
    return found
