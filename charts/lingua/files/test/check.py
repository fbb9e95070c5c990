"""What `helm test` runs in the scheduler's image: health and pairs, and with --speech a sentence there and back."""

# ruff: noqa: INP001 - a script in a ConfigMap

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

from lingua_client import LinguaError, translate
from lingua_client.api import Api
from lingua_client.errors import RefusedError
from lingua_wire.codes import ErrorCode

_PAUSE_S = 2.0


async def check(arguments: argparse.Namespace) -> None:
    """Ask, and speak where a recording was given. :raises LinguaError: not answered well in time."""
    url, token = os.environ["LINGUA_URL"], read_token()
    async with Api(url, token=token) as api:
        say(f"ready: {(await api.get('/health/ready'))['ready']}")
        try:
            say(f"pairs: {len((await api.get('/api/v1/pairs'))['pairs'])}")
        except RefusedError as refused:
            if token or refused.code != ErrorCode.UNAUTHENTICATED:
                raise
            say("clients need a token, so no more was asked: set test.tokenSecret")
            return
    if not arguments.speech:
        return
    began = time.monotonic()
    result = await translate(url, arguments.speech, arguments.source, arguments.target, token=token)
    if not (result.translation and result.speech):
        sys.exit("the sentence came back without text or without speech")
    say(f"a sentence there and back: {time.monotonic() - began:.1f} s, {len(result.speech)} bytes of speech")


def read_token() -> str | None:
    """Read the client's token, where the chart names one."""
    path = os.environ.get("LINGUA_TOKEN_FILE")
    return Path(path).read_text().strip() if path else None


async def until_done(arguments: argparse.Namespace) -> None:
    """Try until it works or the time is over: after an install, nodes may still be starting."""
    end = time.monotonic() + arguments.wait_s
    while True:
        try:
            return await check(arguments)
        except LinguaError as error:
            if time.monotonic() >= end:
                sys.exit(f"{error} {error.remedy}")
            say(f"not yet: {error}")
            await asyncio.sleep(_PAUSE_S)


def say(text: str) -> None:
    """Write a line at once, for `helm test --logs`."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wait-s", type=float, default=60.0, help="seconds to go on trying")
    parser.add_argument("--speech", help="a recording to translate")
    parser.add_argument("--from", dest="source", default="en")
    parser.add_argument("--to", dest="target", default="es")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(until_done(parse()))
