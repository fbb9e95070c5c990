"""``lingua-operator``: run the operator. Settings are environment variables; ``--help`` lists them."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import NoReturn

from pydantic import SecretStr

from lingua_operator import __version__, logs
from lingua_operator.cluster import ClusterError
from lingua_operator.program import Operator
from lingua_operator.settings import OperatorSettings, SettingsError, fields, load_settings, unknown_variables

#: sysexits.h: the settings are wrong; something needed is away.
EX_CONFIG = 78
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70


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


def run(settings: OperatorSettings) -> int:
    """Work until told to stop; return the exit code."""
    logs.set_up(settings.log.level)
    for name in unknown_variables():
        logs.log.warning("a variable looks like a setting and is none", extra={"setting": name})
    try:
        asyncio.run(_run(settings))
    except ValueError as error:
        return _say(EX_CONFIG, str(error))
    except (ClusterError, OSError) as error:
        return _say(EX_UNAVAILABLE, str(error))
    except Exception as error:
        logs.log.exception("the operator ended by a fault")
        return _say(EX_SOFTWARE, f"it ended by a fault: {type(error).__name__}; Kubernetes starts it again")
    return 0


async def _run(settings: OperatorSettings) -> None:
    await Operator(settings).run()


def _say(code: int, message: str) -> int:
    sys.stderr.write(f"lingua-operator: {message}\n")
    return code


def _end(code: int, message: str) -> NoReturn:
    sys.exit(_say(code, message))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lingua-operator",
        description="Run the Lingua operator. It is set up by environment variables.",
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
