"""Caption what is being said while it is said: python live_captions.py URL FILE FROM TO

The file stands for a live source: any asynchronous iterator of 16 kHz mono PCM16 can take its place.
"""

# ruff: noqa: INP001, T201 - an example that prints

import asyncio
import sys

from lingua_client import Failed, LinguaError, Pace, Partial, Result, connect


async def main(url: str, file: str, source: str, target: str) -> None:
    """Print partials as they come and each result when it is there."""
    async with connect(url, source=source, target=target) as session:
        async for event in session.translate(file, pace=Pace.REAL_TIME):
            match event:
                case Partial(text=text):
                    print(f"... {text}")
                case Result(text=text, translation=translation):
                    print(f"{text} = {translation}")
                case Failed(code=code, resent=False):
                    print(f"lost: {code}")


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:5]))
    except LinguaError as error:
        sys.exit(f"{error} {error.remedy}")
