"""Become another program of this installation: its arguments, environment, signals and exit code are its own."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Final, NoReturn

from lingua_client.errors import LinguaError

#: Settings of a command whose arguments are all for the other program, ``--help`` among them.
PASS_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def become(module: str, arguments: list[str], extra: str) -> NoReturn:
    """Replace this process by ``python -m module``.

    :raises LinguaError: the module is not installed (``NOT_INSTALLED``); ``extra`` names what brings it.
    """
    if importlib.util.find_spec(module) is None:
        raise LinguaError("NOT_INSTALLED", f"{module} is not installed", f"pip install 'lingua[{extra}]'")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell is wanted
