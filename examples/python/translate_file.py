"""Translate a recording: python translate_file.py URL FILE FROM TO"""

# ruff: noqa: INP001, T201 - an example that prints

import asyncio
import sys

from lingua_client import LinguaError, translate, write_wav


async def main(url: str, file: str, source: str, target: str) -> None:
    """Print what was said and what it means, and write the speech."""
    result = await translate(url, file, source, target)
    print(result.text)
    print(result.translation)
    if result.speech:
        write_wav("translated.wav", result.speech, result.sample_rate)


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:5]))
    except LinguaError as error:
        sys.exit(f"{error} {error.remedy}")
