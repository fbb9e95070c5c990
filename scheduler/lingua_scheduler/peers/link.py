"""The way to one other instance: a bounded queue and a socket that is opened when there is something to send."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from typing import TYPE_CHECKING, Final

from aiohttp import ClientError, WSMsgType

from lingua_scheduler.clock import now_ms
from lingua_scheduler.peers.envelope import Item, pack
from lingua_scheduler.peers.handshake import greet_as_caller
from lingua_scheduler.work import Delivery, Said
from lingua_wire.errors import WireError
from lingua_wire.node_messages import JobResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientWebSocketResponse

    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.settings import PeerSettings

log = logging.getLogger(__name__)

_BACK_OFF_MS: Final = 200
_BACK_OFF_MAX_MS: Final = 5_000
#: How long a peer may take to read what was sent, before the way counts as broken.
_SEND_S: Final = 5.0


class PeerLink:
    """Send items to one instance, in order.

    ``send`` says no while the instance can't be reached, so the sender can do something else at once. What was queued
    and not sent when the way broke is given back, if it is a job; the rest is found by deadlines.
    """

    def __init__(
        self,
        names: tuple[str, str],
        secret: str,
        settings: PeerSettings,
        carrier: Carrier,
        metrics: Metrics,
        connect: Callable[[str], Awaitable[ClientWebSocketResponse]],
    ) -> None:
        self._caller, self._listener = names
        self.secret = secret
        self._settings = settings
        self._carrier = carrier
        self._metrics = metrics
        self._connect = connect
        self._queue: deque[tuple[Item, int]] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._blocked_until_ms = 0
        self.connected = False
        self.used_ms = now_ms()

    def send(self, item: Item) -> bool:
        """Queue an item; False: the instance can't be reached, or reads too slowly."""
        size = _size(item)
        full = len(self._queue) >= self._settings.queue_messages
        if full or self._queued_bytes + size > self._settings.queue_bytes or now_ms() < self._blocked_until_ms:
            self._metrics.peer_messages.of("sent", "failed").inc()
            return False
        self._queue.append((item, size))
        self._queued_bytes += size
        self.used_ms = now_ms()
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"peer-{self._listener}")
        return True

    async def close(self) -> None:
        """Stop; what is queued is given back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(self._settings.connect_ms / 1000):
                socket = await self._open()
        except (ClientError, OSError, TimeoutError, WireError) as error:
            self._fail(error)
            return
        self.connected = True
        self._failures = 0
        try:
            await self._carry(socket)
        except (ClientError, OSError, TimeoutError, RuntimeError) as error:
            self._fail(error)
        finally:
            self.connected = False
            self._give_back()
            await socket.close()
            self._give_back()  # what was queued while the socket closed: nobody else would send it

    async def _open(self) -> ClientWebSocketResponse:
        socket = await self._connect(self._listener)
        try:
            await greet_as_caller(socket, self.secret, self._caller, self._listener)
        except BaseException:
            await socket.close()
            raise
        return socket

    async def _carry(self, socket: ClientWebSocketResponse) -> None:
        """Send until the other side closes. Something reads all the time, so that pings are answered."""
        loop = asyncio.get_running_loop()
        reading = loop.create_task(_read_to_end(socket))
        try:
            while not reading.done():
                while self._queue:
                    item, size = self._queue[0]
                    async with asyncio.timeout(_SEND_S):
                        await socket.send_frame(pack(item), WSMsgType.BINARY)
                    self._queue.popleft()
                    self._queued_bytes -= size
                    del item  # or its audio would stay until the next one
                    self._metrics.peer_messages.of("sent", "ok").inc()
                self._wake.clear()
                waking = loop.create_task(self._wake.wait())
                await asyncio.wait([waking, reading], return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        ceiling = min(_BACK_OFF_MAX_MS, _BACK_OFF_MS * 2 ** min(self._failures, 10))
        self._blocked_until_ms = now_ms() + int(random.uniform(_BACK_OFF_MS, ceiling))
        log.warning("peer not reached", extra={"peer": self._listener, "reason": type(error).__name__})
        self._give_back()

    def _give_back(self) -> None:
        left = [item for item, _ in self._queue]
        self._queue.clear()
        self._queued_bytes = 0
        for item in left:
            self._metrics.peer_messages.of("sent", "failed").inc()
            if isinstance(item, Delivery):
                self._carrier.undelivered(item)


async def _read_to_end(socket: ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


def _size(item: Item) -> int:
    match item:
        case Delivery():
            return 1_000 + len(item.audio)
        case Said(word=JobResult(tts_audio=text)):
            return 1_000 + len(item.speech or b"") + len(text or "")
    return 1_000
