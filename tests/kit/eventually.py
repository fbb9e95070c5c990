"""Wait for an event, bounded, instead of sleeping for luck."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
#: How long a wait for an event may last: a safety on a busy machine, not an expectation. It costs time only in a test
#: that fails (which the mutants wait for: they set it lower); what is promised in time is compared with a clock.
PATIENCE_S = float(os.environ.get("LINGUA_PATIENCE_S", "40"))
_PAUSE_S = 0.005


async def eventually(probe: Callable[[], Any], *, within_s: float = PATIENCE_S, what: str = "") -> Any:
    """Ask ``probe``, plain or async, until its answer is true, and return that; fail with its last answer or error."""
    end = time.monotonic() + within_s
    while True:
        answer: Any
        try:
            answer = probe()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
        except AssertionError as error:
            answer = error
        if time.monotonic() >= end:
            raise AssertionError(f"not within {within_s:g} s: {what or probe}; last: {answer!r}")
        await asyncio.sleep(_PAUSE_S)


def eventually_sync(probe: Callable[[], T], *, within_s: float = PATIENCE_S, what: str = "") -> T:
    """Do the same without an event loop."""
    end = time.monotonic() + within_s
    while not (answer := probe()):
        if time.monotonic() >= end:
            raise AssertionError(f"not within {within_s:g} s: {what or probe}; last: {answer!r}")
        time.sleep(_PAUSE_S)
    return answer
