"""One open socket to a scheduler: typed messages in, parcels out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import WSMsgType

from lingua_wire import codec, frames
from lingua_wire.catalogue import Direction
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

    from lingua_node.results import Parcel
    from lingua_wire.fields import Message
    from lingua_wire.frames import Frame

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 10.0


class Link:
    """Read and write one socket; a message and its frame stay together."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._turn = asyncio.Lock()

    @property
    def close_code(self) -> int | None:
        """Tell why the socket was closed; None while it is open."""
        return self._socket.close_code

    async def send(self, parcel: Parcel) -> None:
        """Send a message and the frame that belongs to it.

        :raises OSError: the socket is closed, or does not take the message in time.
        """
        async with self._turn, asyncio.timeout(SEND_TIMEOUT_S):
            await self._socket.send_str(codec.encode_text(parcel.message))
            if parcel.frame is not None:
                await self._socket.send_bytes(parcel.frame)

    async def receive(self) -> Message | Frame | None:
        """Wait for the next message or frame; None when the socket is closed.

        What is malformed is logged and skipped.
        """
        while True:
            got = await self._socket.receive()
            if got.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return None
            try:
                if got.type is WSMsgType.BINARY:
                    return frames.unpack(got.data)
                return codec.decode(got.data, Direction.TO_NODE)
            except WireError as error:
                log.warning("a message of the scheduler was not understood", extra={"code": error.code})

    async def close(self) -> None:
        """Close the socket; safe to repeat."""
        await self._socket.close()
