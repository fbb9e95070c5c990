"""How a session comes back after its connection was lost: whether, when, and with what it asks for itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lingua_client import opening
from lingua_client.errors import CannotReachError, LinguaError, NoCapacityError, SessionEndedError
from lingua_client.link import open_once, wait_before
from lingua_wire.codes import CloseCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_client.address import Address
    from lingua_client.link import Link
    from lingua_client.position import Position
    from lingua_wire import session_messages as wire

#: How a connection ends that another one can take the place of; 0: it was just lost.
_LOST: Final = frozenset(
    {0, CloseCode.GOING_AWAY, CloseCode.INTERNAL, CloseCode.RESTART, CloseCode.TRY_LATER, CloseCode.NO_NODE}
)
#: The service has the session no more, or will not let this client have it: only a fresh one can take its place.
_TOO_LATE: Final = frozenset({CloseCode.RESUME_OVER, CloseCode.UNKNOWN_SESSION})


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a session is resumed with."""

    session_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Return:
    """A session that came back over ``link``: where audio goes on, and which index is given next.

    ``lost_samples`` were said meanwhile, and are more than could be kept.
    """

    link: Link
    ack: wire.SessionInitAck
    sample: int
    index: int
    fresh: bool
    lost_samples: int


def is_lost(close_code: int) -> bool:
    """Tell whether a session whose connection ended so may come back."""
    return close_code in _LOST


class Recovery:
    """Connects again. ``held_sample`` tells the first sample that can still be sent."""

    def __init__(
        self,
        address: Address,
        token: str | None,
        init: wire.SessionInit,
        position: Position,
        held_sample: Callable[[], int],
    ) -> None:
        self._address = address
        self._token = token
        self._init = init
        self._position = position
        self._held_sample = held_sample
        self.ticket: Ticket | None = None
        #: It was asked for over a new connection, and nobody knows whether that was heard.
        self.uncertain = False

    def took(self, ack: wire.SessionInitAck) -> None:
        """Remember what the session is resumed with next time."""
        self.ticket = Ticket(ack.session_id, ack.resume_token) if ack.resume_token else None

    async def connect(self, patience_s: float) -> Return:
        """Come back, trying again with full jitter; with a fresh session where the old one is gone.

        :raises LinguaError: it did not work within ``patience_s``, or the service says no for good.
        """
        deadline = time.monotonic() + patience_s
        attempt = 0
        await asyncio.sleep(wait_before(CannotReachError("", ""), 1))
        while True:
            attempt += 1
            try:
                return await self.open(await open_once(self._address, self._token))
            except LinguaError as trouble:
                wait_s = wait_before(trouble, attempt)
                if not self._again(trouble) or time.monotonic() + wait_s > deadline:
                    raise
            await asyncio.sleep(wait_s)

    async def open(self, link: Link) -> Return:
        """Ask for the session over an open socket; the socket is closed if that fails.

        :raises LinguaError: it is refused, or the socket is lost too.
        """
        ticket, held, position = self.ticket, self._held_sample(), self._position
        self.uncertain = ticket is not None
        ack = await opening.greet(link, self._asking(ticket, held))
        self.took(ack)
        self.uncertain = False
        lost = max(0, held - position.sample)
        if ticket is None:
            return Return(link, ack, position.sample + lost, position.index, fresh=True, lost_samples=lost)
        try:
            told = await opening.resumed(link)
        except BaseException:
            await link.close()
            raise
        sample = told.resume_from_sample
        index = position.index if told.next_utterance_index is None else told.next_utterance_index
        return Return(link, ack, sample, index, fresh=False, lost_samples=lost if sample == held else 0)

    def _asking(self, ticket: Ticket | None, held: int) -> wire.SessionInit:
        claim = {
            "last_seq": self._position.last_seq,
            "from_sample": self._position.sample,
            "from_index": self._position.index,
            "held_sample": held,
            "session_id": ticket.session_id if ticket else None,
            "resume_token": ticket.token if ticket else None,
        }
        return self._init.model_copy(update=claim)

    def _again(self, trouble: LinguaError) -> bool:
        """Tell whether another try may help; one with a fresh session, where the old one is gone."""
        if isinstance(trouble, SessionEndedError) and trouble.close_code in _TOO_LATE:
            self.ticket = None
            return True
        if isinstance(trouble, SessionEndedError):
            return is_lost(trouble.close_code)
        # A plain LinguaError is a fault behind an HTTP status of 500 or more, such as a proxy's.
        return isinstance(trouble, CannotReachError | NoCapacityError) or type(trouble) is LinguaError
