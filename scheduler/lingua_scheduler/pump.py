"""Write what waits to one socket: at once where it takes it, else by a task that exists only while something waits."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from aiohttp import WSMsgType

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from aiohttp import ClientWebSocketResponse, web

    Socket = web.WebSocketResponse | ClientWebSocketResponse
    Take = Callable[[], Sequence[str | bytes] | None]

#: How long a close may wait for a peer that does not read.
CLOSE_S = 5.0

#: What surely fits into the transport's buffer, so that a write never has to wait (its high-water mark is 64 KiB).
FITS_BYTES = 60_000


class Pump:
    """Send the frames that ``take`` gives until it gives None. Text is str, binary is bytes.

    What the socket takes at once is written at once; only for the rest there is a task. A peer that takes longer than
    ``send_ms`` for one event is ``stalled``: without such a function its connection is cut.
    """

    __slots__ = ("_closing", "_send_ms", "_socket", "_stalled", "_take", "_task", "_transport")

    def __init__(
        self,
        socket: Socket,
        transport: asyncio.BaseTransport | None,
        take: Take,
        send_ms: int,
        stalled: Callable[[], None] | None = None,
    ) -> None:
        self._socket = socket
        self._send_ms = send_ms
        self._stalled = stalled or self.abort
        self._transport = cast("asyncio.Transport | None", transport)  # uvloop's is none by inheritance
        self._take = take
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def wake(self) -> None:
        """Send, or begin to, unless that goes on already."""
        if self._task is not None or self._closing:
            return
        while (frames := self._take()) is not None:
            if not self._write_at_once(frames):
                self._task = asyncio.get_running_loop().create_task(self._send(frames))
                return

    def send(self, frames: Sequence[str | bytes]) -> bool:
        """Send frames before which nothing waits, at once; False: the socket does not take them now."""
        return self._task is None and not self._closing and self._write_at_once(frames)

    async def close(self, code: int, reason: str = "") -> None:
        """Send what waits, then close; a peer that does not read is cut off after a while. Safe to repeat."""
        self._closing = True
        try:
            async with asyncio.timeout(min(CLOSE_S, self._send_ms / 1000)):
                if self._task is not None:
                    await asyncio.wait([self._task])
                await self._send(())
                await self._socket.close(code=code, message=reason.encode()[:120])
        except (TimeoutError, ConnectionError, RuntimeError):
            self.abort()
        except asyncio.CancelledError:
            self.abort()
            # All who wait for a socket's buffer wait for one future: one of them that gives up cancels it for all.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise

    def abort(self) -> None:
        """Cut the connection without a word."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _write_at_once(self, frames: Sequence[str | bytes]) -> bool:
        """Write without waiting; False: that may not be possible, and nothing was written."""
        if self._transport is None:
            return False
        if self._transport.get_write_buffer_size() + sum(map(len, frames)) * 2 > FITS_BYTES:
            return False
        with contextlib.suppress(ConnectionError, RuntimeError):  # closed: the reader finds out too
            for frame in frames:
                writing = _write(self._socket, frame)
                try:
                    writing.send(None)
                except StopIteration:
                    continue
                writing.close()
        return True

    async def _send(self, frames: Sequence[str | bytes] | None) -> None:
        try:
            with contextlib.suppress(ConnectionError, RuntimeError):
                while frames is not None:
                    await self._send_one(frames)
                    frames = self._take()
        finally:
            self._task = None

    async def _send_one(self, frames: Sequence[str | bytes]) -> None:
        """Send one event; it is not given up half-sent, but the peer is when it takes too long."""
        late = asyncio.get_running_loop().call_later(self._send_ms / 1000, self._stalled)
        try:
            for frame in frames:
                await _write(self._socket, frame)
        finally:
            late.cancel()


def _write(socket: Socket, frame: str | bytes) -> Coroutine[Any, Any, None]:
    if isinstance(frame, str):
        return socket.send_frame(frame.encode(), WSMsgType.TEXT)
    return socket.send_frame(frame, WSMsgType.BINARY)
