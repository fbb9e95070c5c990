"""Collect what a recogniser tells while it works."""

from __future__ import annotations

import asyncio


class Partials:
    """The texts told so far; ``first`` is set with the first one."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.first = asyncio.Event()

    async def __call__(self, text: str, *_: object) -> None:
        self.texts.append(text)
        self.first.set()
