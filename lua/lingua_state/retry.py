"""The one policy by which a call is made again: every script and read is safe to repeat with the same arguments.

Full-jitter back-off within a budget of time. What can't get better by waiting is not tried again.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from lingua_state.errors import OutcomeUnknown, StoreFault, StoreRefused, StoreUnavailable
from lingua_state.multiplexed import ConnectionLost, NotSent, ReplyError, Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lingua_state.multiplexed import Reply, Word
    from lingua_state.primary import Primary

    Trouble = ReplyError | ConnectionLost | Unconfirmed

#: Answers of a server that is not the cell's primary (any more): look for it, then try again.
ELSEWHERE = frozenset({"READONLY", "MOVED", "ASK", "MASTERDOWN", "CLUSTERDOWN"})
#: Answers of a server that will be well again by itself.
LATER = frozenset({"LOADING", "BUSY", "NOREPLICAS", "TRYAGAIN"})
#: Answers of a server that a person must help.
REFUSED = frozenset({"OOM", "MISCONF", "NOPERM", "NOAUTH", "WRONGPASS", "DENIED"})
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


class Retrying:
    """Calls the primary, again where that may help.

    :param budget_ms: no try begins later than this after the first. A try itself is bounded by the connection.
    :param cut_off_ms: the same where the server lacks replicas: it may be an old primary that is cut off, and who is
        there with it must know soon.
    """

    def __init__(self, primary: Primary, budget_ms: int, cut_off_ms: int) -> None:
        self._primary = primary
        self._budget_s = budget_ms / 1000
        self._cut_off_s = min(cut_off_ms, budget_ms) / 1000
        self.retries = 0
        self.unconfirmed = 0

    async def call(self, *command: Word, surely: bool = False) -> Reply:
        """Run a command that is safe to repeat.

        :param surely: in the durable profile the answer comes when replicas have what it wrote.
        :raises ReplyError: NOSCRIPT alone. :raises StoreUnavailable: not reached. :raises StoreRefused: it won't.
        :raises OutcomeUnknown: it was done, but no replica has it. :raises StoreFault: the command is wrong for this
            server.
        """
        run = self._primary.call_surely if surely else self._primary.call
        try:
            return await run(*command)
        except (ReplyError, ConnectionLost, Unconfirmed) as error:
            return await self._again(run, command, error)
        except NotSent as error:
            raise StoreUnavailable(str(error)) from error

    async def _again(self, run: Callable[..., Awaitable[Reply]], command: tuple[Word, ...], error: Trouble) -> Reply:
        began = time.monotonic()
        pause_s = _FIRST_PAUSE_S
        while True:
            self._judge(error)
            wait_s = random.uniform(0, pause_s)
            if time.monotonic() + wait_s >= began + self._patience_s(error):
                raise _given_up(error) from error
            await asyncio.sleep(wait_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            self.retries += 1
            waits = error.again if isinstance(error, Unconfirmed) else None
            try:
                return await (waits() if waits else run(*command))
            except (ReplyError, ConnectionLost, Unconfirmed) as again:
                error = again
            except NotSent as error_now:
                raise StoreUnavailable(str(error_now)) from error_now

    def _judge(self, error: Trouble) -> None:
        if isinstance(error, ConnectionLost):
            return
        if isinstance(error, Unconfirmed):
            self.unconfirmed += 1
            self._primary.look()
        elif error.word in LATER:
            self._primary.look()
        elif error.word in ELSEWHERE:
            self._primary.leave(f"the server answered {error.word}")
        elif error.word in REFUSED:
            raise _given_up(error) from error
        elif error.word == "NOSCRIPT":
            raise error
        else:
            raise StoreFault(str(error)) from error

    def _patience_s(self, error: Trouble) -> float:
        alone = isinstance(error, Unconfirmed) or (isinstance(error, ReplyError) and error.word == "NOREPLICAS")
        return self._cut_off_s if alone else self._budget_s


def _given_up(error: Trouble) -> StoreRefused | StoreUnavailable:
    if isinstance(error, ReplyError):
        return StoreRefused(f"the store refuses: {error}")
    if isinstance(error, Unconfirmed):
        return OutcomeUnknown(f"nobody can tell whether it will last: {error}")
    return StoreUnavailable(str(error))
