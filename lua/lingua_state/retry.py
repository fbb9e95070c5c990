"""The one policy by which a call is made again: every script and read is safe to repeat with the same arguments.

Full-jitter back-off within a budget of time. What can't get better by waiting is not tried again.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from lingua_state.errors import StoreFault, StoreRefused, StoreUnavailable
from lingua_state.multiplexed import ConnectionLost, NotSent, ReplyError

if TYPE_CHECKING:
    from lingua_state.multiplexed import Multiplexed, Reply, Word

#: Answers of a server that is not the cell's primary (any more): look for it, then try again.
ELSEWHERE = frozenset({"READONLY", "MOVED", "ASK", "MASTERDOWN", "CLUSTERDOWN"})
#: Answers of a server that will be well again by itself.
LATER = frozenset({"LOADING", "BUSY", "NOREPLICAS", "TRYAGAIN"})
#: Answers of a server that a person must help.
REFUSED = frozenset({"OOM", "MISCONF", "NOPERM", "NOAUTH", "WRONGPASS", "DENIED"})
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


class Retrying:
    """Calls through the shared connection, again where that may help.

    :param budget_ms: no try begins later than this after the first. A try itself is bounded by the connection.
    """

    def __init__(self, caller: Multiplexed, budget_ms: int) -> None:
        self._caller = caller
        self._budget_s = budget_ms / 1000
        self.retries = 0

    async def call(self, *command: Word) -> Reply:
        """Run a command that is safe to repeat.

        :raises ReplyError: NOSCRIPT alone. :raises StoreUnavailable: not reached. :raises StoreRefused: it won't.
        :raises StoreFault: the command is wrong for this server.
        """
        try:
            return await self._caller.call(*command)
        except (ReplyError, ConnectionLost) as error:
            return await self._again(command, error)
        except NotSent as error:
            raise StoreUnavailable(str(error)) from error

    async def _again(self, command: tuple[Word, ...], error: ReplyError | ConnectionLost) -> Reply:
        end = time.monotonic() + self._budget_s
        pause_s = _FIRST_PAUSE_S
        while True:
            self._judge(error)
            wait_s = random.uniform(0, pause_s)
            if time.monotonic() + wait_s >= end:
                raise _given_up(error) from error
            await asyncio.sleep(wait_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            self.retries += 1
            try:
                return await self._caller.call(*command)
            except (ReplyError, ConnectionLost) as again:
                error = again
            except NotSent as error_now:
                raise StoreUnavailable(str(error_now)) from error_now

    def _judge(self, error: ReplyError | ConnectionLost) -> None:
        if isinstance(error, ConnectionLost) or error.word in LATER:
            return
        if error.word in ELSEWHERE:
            self._caller.look_again(f"the server answered {error.word}")
        elif error.word in REFUSED:
            raise _given_up(error) from error
        elif error.word == "NOSCRIPT":
            raise error
        else:
            raise StoreFault(str(error)) from error


def _given_up(error: ReplyError | ConnectionLost) -> StoreRefused | StoreUnavailable:
    if isinstance(error, ReplyError):
        return StoreRefused(f"the store refuses: {error}")
    return StoreUnavailable(str(error))
