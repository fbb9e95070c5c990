"""``lingua-scheduler``: run one scheduler. Settings are environment variables; ``--help`` lists them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import resource
import sys
from typing import NoReturn

import uvloop
from pydantic import SecretStr

from lingua_scheduler import __version__, logs
from lingua_scheduler.app import Service, UnfitStoreError
from lingua_scheduler.auth import AuthSettingsError
from lingua_scheduler.settings import SchedulerSettings, SettingsError, fields, load_settings, unknown_variables
from lingua_state.errors import StateError

#: sysexits.h: the settings are wrong; something needed is away.
EX_CONFIG = 78
EX_UNAVAILABLE = 69

log = logging.getLogger("lingua_scheduler")


def main() -> None:
    """Run the program; end with a plain sentence when it can't."""
    arguments = _parser().parse_args()
    try:
        settings = load_settings()
    except SettingsError as error:
        _end(EX_CONFIG, str(error))
    if arguments.check:
        return
    sys.exit(run(settings))


def run(settings: SchedulerSettings) -> int:
    """Serve until told to stop; return the exit code."""
    logs.set_up(settings.log.level)
    raise_descriptor_limit()
    for name in unknown_variables():
        log.warning("a variable looks like a setting and is none", extra={"setting": name})
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(Service(settings).run())
    except (UnfitStoreError, AuthSettingsError, ValueError) as error:
        return _say(EX_CONFIG, str(error))
    except (StateError, OSError) as error:
        return _say(EX_UNAVAILABLE, str(error))
    return 0


def raise_descriptor_limit() -> None:
    """Allow as many open sockets as the system lets this process have: the usual 1024 are fewer than its sessions."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems name a bound that they do not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say(code: int, message: str) -> int:
    sys.stderr.write(f"lingua-scheduler: {message}\n")
    return code


def _end(code: int, message: str) -> NoReturn:
    sys.exit(_say(code, message))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lingua-scheduler",
        description="Run one Lingua scheduler. It is set up by environment variables.",
        epilog=_settings_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--check", action="store_true", help="check the settings and exit")
    return parser


def _settings_help() -> str:
    lines = ["variables and their defaults:"]
    for variable, name, model in fields():
        info = model.model_fields[name]
        default = "" if isinstance(info.default, SecretStr) else info.default
        lines.append(f"  {variable}={default}")
        if info.description:
            lines.append(f"      {' '.join(info.description.split())}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
