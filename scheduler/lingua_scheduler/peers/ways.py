"""How a socket to another instance comes about: directly, else through a third one that reaches both.

Who stands between carries bytes and reads none: the two ends prove themselves to each other through it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, WSMsgType, web

from lingua_scheduler.peers.envelope import MESSAGE_BYTES
from lingua_scheduler.peers.handshake import greet_as_caller
from lingua_state import instances
from lingua_state.errors import StateError
from lingua_wire.codes import CloseCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

    from lingua_scheduler.settings import PeerSettings
    from lingua_state.client import Store

log = logging.getLogger(__name__)

PATH: Final = "/ws/peer"
PING_S: Final = 10.0
#: A direct way that is not open after this is looked for through others at the same time.
_HEAD_START_S: Final = 0.5
#: Third instances that are tried.
_HELPERS: Final = 3
#: After this a way through a third instance is opened anew, directly if that works again.
_THROUGH_S: Final = 300.0
_TROUBLE: Final = (ClientError, OSError, TimeoutError, WireError)


class NotKnown(ClientError):
    """The store has no such instance: it is gone, and nobody else reaches it either."""


@dataclass(frozen=True, slots=True)
class Way:
    """A socket whose other end proved itself. ``confirms``: it tells what arrived."""

    socket: ClientWebSocketResponse
    confirms: bool


class Ways:
    """Opens ways from this instance. Addresses come from the store and from nowhere else."""

    def __init__(self, instance_id: str, secret: str, store: Store, settings: PeerSettings) -> None:
        self.secret = secret
        self._instance_id = instance_id
        self._store = store
        self._settings = settings
        self._http: ClientSession | None = None

    async def open(self, listener: str, stream: str) -> Way:
        """Open a way to ``listener``, whichever works first.

        :raises ClientError: none does; so do OSError, TimeoutError and WireError.
        """
        direct = asyncio.ensure_future(self._open_directly(listener, stream))
        through = asyncio.ensure_future(self._open_through_any(direct, listener, stream))
        return await first_of(direct, through)

    async def dial(self, listener: str, through_to: str = "") -> ClientWebSocketResponse:
        """Connect to an instance at the address that the store has for it.

        :raises ClientError: it is not known, or not there.
        """
        try:
            record = await instances.get(self._store, listener)
        except StateError as error:
            raise ClientError("the store does not answer") from error
        if record is None:
            raise NotKnown("the instance is not known")
        if self._http is None:
            self._http = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None))
        query = {"to": through_to} if through_to else {}
        address = record.address.rstrip("/") + PATH
        return await self._http.ws_connect(
            address, params=query, compress=0, heartbeat=PING_S, max_msg_size=MESSAGE_BYTES
        )

    async def close(self) -> None:
        """Close what calls out."""
        if self._http is not None:
            await self._http.close()

    async def _open_directly(self, listener: str, stream: str) -> Way:
        async with asyncio.timeout(self._settings.connect_ms / 1000):
            return await self._greet(await self.dial(listener), [listener], stream)

    async def _open_through_any(self, direct: asyncio.Future[Way], listener: str, stream: str) -> Way:
        await asyncio.wait([direct], timeout=_HEAD_START_S)
        if direct.done() and not direct.cancelled() and isinstance(direct.exception(), NotKnown | None):
            raise ClientError("not needed, or of no use")
        trouble: Exception = ClientError("no other instance stands between")
        for helper in await self._helpers(listener):
            try:
                async with asyncio.timeout(self._settings.connect_ms / 1000):
                    way = await self._greet(await self.dial(helper, listener), [helper, listener], stream)
            except _TROUBLE as error:
                trouble = error
            else:
                log.warning("a peer is reached through another one", extra={"peer": listener, "through": helper})
                return way
        raise trouble

    async def _helpers(self, listener: str) -> list[str]:
        try:
            living = await instances.live(self._store)
        except StateError as error:
            raise ClientError("the store does not answer") from error
        names = [one.instance_id for one in living if one.instance_id not in (listener, self._instance_id)]
        return random.sample(names, min(_HELPERS, len(names)))

    async def _greet(self, socket: ClientWebSocketResponse, listeners: list[str], stream: str) -> Way:
        """Prove this instance to each listener on the way, one after the other."""
        confirms = False
        try:
            for listener in listeners:
                confirms = await greet_as_caller(socket, self.secret, self._instance_id, listener, stream)
        except BaseException:
            await socket.close()
            raise
        return Way(socket, confirms)


async def join(here: web.WebSocketResponse, there: ClientWebSocketResponse) -> None:
    """Carry binary messages between two sockets until either ends, or for a while."""
    carrying = [asyncio.ensure_future(_carry(here, there)), asyncio.ensure_future(_carry(there, here))]
    try:
        await asyncio.wait(carrying, timeout=_THROUGH_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in carrying:
            one.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        await there.close()
        await here.close(code=CloseCode.GOING_AWAY)


async def _carry(
    source: web.WebSocketResponse | ClientWebSocketResponse, sink: web.WebSocketResponse | ClientWebSocketResponse
) -> None:
    async for message in source:
        if message.type is not WSMsgType.BINARY:
            return
        await sink.send_frame(message.data, WSMsgType.BINARY)


async def first_of(*trying: asyncio.Future[Way]) -> Way:
    """Take what opens first and give up the others, also one that opened or failed at the same time.

    :raises Exception: what the last one ran into.
    """
    left, others = set(trying), set(trying)
    trouble: BaseException = TimeoutError()
    try:
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                if one.exception() is None:
                    others.discard(one)
                    return one.result()
                trouble = one.exception() or trouble
    finally:
        await _give_up(others)
    raise trouble


async def _give_up(trying: set[asyncio.Future[Way]]) -> None:
    for one in trying:
        one.cancel()
    for found in await asyncio.gather(*trying, return_exceptions=True):
        if isinstance(found, Way):
            await found.socket.close()
