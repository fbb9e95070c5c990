"""Interpret between two people, turn by turn: python interpreter.py URL LANG_A LANG_B FILE..."""

# ruff: noqa: INP001, T201 - an example that prints

import asyncio
import sys

from lingua_client import Failed, LinguaError, Missing, Result, Skipped, connect


async def main(url: str, lang_a: str, lang_b: str, files: list[str]) -> None:
    """Play one recording after the other into one session; either language may be spoken in each."""
    async with connect(url, source=lang_a, target=lang_b, mode="two_way_auto") as session:
        for file in files:
            await session.stream(file)
            async for event in session:
                if isinstance(event, Result):
                    print(f"[{event.source}] {event.text} = {event.translation}")
                if isinstance(event, Result | Missing | Skipped | Failed):
                    break


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
    except LinguaError as error:
        sys.exit(f"{error} {error.remedy}")
