"""The shape of a command that asks the API: get documents, then show them as JSON or as text."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from lingua_client.api import Api

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


def ask(url: str, token: str | None, question: Callable[[Api], Awaitable[T]]) -> T:
    """Run a question against the API of the scheduler at ``url``."""

    async def asked() -> T:
        async with Api(url, token=token) as api:
            return await question(api)

    return asyncio.run(asked())


def pair(document: dict[str, Any]) -> str:
    """Write a pair as people do: en -> es."""
    return f"{document.get('source', '?')} -> {document.get('target', '?')}"


def clock_ms(document: dict[str, Any]) -> int:
    """Tell the store's time at which an answer was made."""
    return int(document.get("now_ms", 0))
