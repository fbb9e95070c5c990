"""Run scripts by name: by their SHA, and once more with their text where the server does not know them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lingua_state.errors import StoreFault
from lingua_state.loader import load, script_names
from lingua_state.multiplexed import ReplyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_state.loader import Script
    from lingua_state.multiplexed import Word
    from lingua_state.retry import Retrying

#: How often a script is loaded for one call: a cache that is flushed all the time must not fail a user.
_LOADS = 20


class Scripts:
    """Every script, by name. Each answers with a list whose first word is its outcome."""

    def __init__(self, caller: Retrying) -> None:
        self._call = caller.call

    async def run(
        self, name: str, keys: Sequence[str], args: Sequence[Word] = (), *, surely: bool = False
    ) -> list[Any]:
        """Run a script and return its reply, outcome first.

        It may be run more than once with the same arguments, so it must be safe to repeat, as every script says of
        itself.

        :param surely: in the durable profile the answer comes when replicas have what it wrote.
        :raises StoreUnavailable: :raises StoreRefused: :raises StoreFault: see lingua_state.errors.
        """
        script = load(name)
        command = ("EVALSHA", script.sha, len(keys), *keys, *args)
        try:
            return await self._call(*command, surely=surely)  # type: ignore[no-any-return]
        except ReplyError:
            return await self._with_text(script, command, surely=surely)

    async def load_all(self) -> None:
        """Give every script to the server now, so that no call has to."""
        for name in script_names():
            await self._call("SCRIPT", "LOAD", load(name).text)

    async def _with_text(self, script: Script, command: tuple[Word, ...], *, surely: bool) -> list[Any]:
        reply: list[Any] | BaseException = []
        for _ in range(_LOADS):
            # Both leave in one write, so that only a flush between the two can lose the text again.
            loading = self._call("SCRIPT", "LOAD", script.text)
            running = self._call(*command, surely=surely)
            _, reply = await asyncio.gather(loading, running, return_exceptions=True)
            if not isinstance(reply, BaseException):
                return reply
            if not isinstance(reply, ReplyError):
                raise reply
        raise StoreFault(f"the server forgets {script.name} as soon as it is loaded")
