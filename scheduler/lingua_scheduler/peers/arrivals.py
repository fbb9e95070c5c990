"""What came in from other instances, so that an item that is sent again counts once, and how it is confirmed."""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import web

#: Streams that are remembered. A caller has one for as long as it lives.
_STREAMS: Final = 1_000
#: Items that come within this time are confirmed together.
_TOGETHER_S: Final = 0.02
NUMBER: Final = struct.Struct(">Q")


class Stream:
    """What one caller sent, over however many sockets. Items of a stream are numbered and come in order."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0

    def is_new(self, number: int) -> bool:
        """Note an item; False: it was here before."""
        if number <= self.last:
            return False
        self.last = number
        return True


class Streams:
    """Finds streams; the ones used last are remembered."""

    def __init__(self) -> None:
        self._streams: OrderedDict[tuple[str, str], Stream] = OrderedDict()

    def of(self, caller: str, name: str) -> Stream:
        """Find a caller's stream, or begin it."""
        stream = self._streams.setdefault((caller, name), Stream())
        self._streams.move_to_end((caller, name))
        if len(self._streams) > _STREAMS:
            self._streams.popitem(last=False)
        return stream


class Confirmer:
    """Tells the caller up to which number everything is here."""

    def __init__(self, socket: web.WebSocketResponse, stream: Stream) -> None:
        self._socket = socket
        self._stream = stream
        self._task: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Confirm, together with what comes right after."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._confirm())

    async def stop(self) -> None:
        """Confirm nothing more on this socket."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _confirm(self) -> None:
        told = -1
        try:
            while told != self._stream.last:
                await asyncio.sleep(_TOGETHER_S)
                told = self._stream.last
                await self._socket.send_bytes(NUMBER.pack(told))
        except (ConnectionError, RuntimeError):
            return  # the caller sends again over its next socket
