"""One open socket to a scheduler: messages and frames in and out, every failure one of this package's errors.

What must not be here: what messages mean. A resume opens a second link for the same session.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import aiohttp

from lingua_client import refusals
from lingua_client.errors import CannotReachError, LinguaError, NoCapacityError, ProtocolError
from lingua_client.pacing import full_jitter_ms
from lingua_wire import codec, frames
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.limits import NODE_FRAME_BYTES

if TYPE_CHECKING:
    from lingua_client.address import Address
    from lingua_wire.fields import Message

_HANDSHAKE_S = 10.0
#: A connection that answers no ping for half of this is lost. Short, since audio is kept for half a minute only.
_PING_S = 6.0


class Link:
    """An open socket. ``close_code`` is 0 until it is closed, and stays 0 when no close was seen."""

    def __init__(self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._http = http
        self._socket = socket

    @property
    def close_code(self) -> int:
        """Tell the code the socket was closed with."""
        code = self._socket.close_code or 0
        return 0 if code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE else code

    async def send(self, message: Message) -> None:
        """Send a message; waits while the socket's buffer is full."""
        await self._write(self._socket.send_str(codec.encode_text(message)))

    async def send_frame(self, frame: bytes) -> None:
        """Send a binary frame; waits while the socket's buffer is full."""
        await self._write(self._socket.send_bytes(frame))

    async def receive(self) -> Message | frames.Frame | None:
        """Give what comes next, or None when the socket is closed. Messages of unknown types are passed over.

        :raises ProtocolError: what came cannot be read.
        """
        while True:
            packet = await self._socket.receive()
            if packet.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return None
            try:
                return _read(packet)
            except WireError as trouble:
                if trouble.code is not ErrorCode.UNKNOWN_MESSAGE:
                    raise ProtocolError(
                        "INVALID_MESSAGE", trouble.message, "Client and service do not match."
                    ) from trouble

    async def close(self) -> None:
        """Close the socket; safe to repeat."""
        await self._socket.close()
        await self._http.close()

    async def _write(self, writing: object) -> None:
        try:
            await writing  # type: ignore[misc]
        except (aiohttp.ClientError, ConnectionError) as trouble:
            raise refusals.from_close(self.close_code) from trouble


def _read(packet: aiohttp.WSMessage) -> Message | frames.Frame:
    if packet.type is aiohttp.WSMsgType.BINARY:
        return frames.unpack(packet.data)
    return codec.decode(packet.data, codec.Direction.TO_CLIENT)


async def open_link(address: Address, token: str | None, timeout_s: float) -> Link:
    """Open a socket, trying again with full jitter for ``timeout_s`` while nobody answers or there is no room.

    :raises CannotReachError: nobody answered in time.
    :raises RefusedError: the service said no.
    """
    deadline = time.monotonic() + timeout_s
    for attempt in range(1, 1_000_000):
        try:
            return await open_once(address, token)
        except (CannotReachError, NoCapacityError) as trouble:
            wait_s = wait_before(trouble, attempt)
            if time.monotonic() + wait_s > deadline:
                raise
            await asyncio.sleep(wait_s)
    raise AssertionError("unreachable")


def wait_before(trouble: LinguaError, attempt: int) -> float:
    """Choose how long to wait before the next try: what the service asks for, and full jitter."""
    asked_s = trouble.retry_after_s if isinstance(trouble, NoCapacityError) else None
    return (asked_s or 0.0) + full_jitter_ms(attempt, random.random()) / 1000


async def open_once(address: Address, token: str | None) -> Link:
    """Open a socket.

    :raises CannotReachError: nobody answered. :raises RefusedError: the service said no.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else None
    http = aiohttp.ClientSession()
    try:
        async with asyncio.timeout(_HANDSHAKE_S):
            socket = await http.ws_connect(
                address.socket, headers=headers, heartbeat=_PING_S, max_msg_size=NODE_FRAME_BYTES, autoclose=True
            )
    except aiohttp.WSServerHandshakeError as refused:
        await http.close()
        retry_after = refused.headers.get("Retry-After") if refused.headers else None
        raise refusals.from_status(refused.status, retry_after=retry_after) from refused
    except (aiohttp.ClientError, OSError, TimeoutError) as trouble:
        await http.close()
        raise refusals.unreachable(address.http, trouble) from trouble
    except BaseException:
        await http.close()
        raise
    return Link(http, socket)
