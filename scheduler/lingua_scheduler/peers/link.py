"""The way to one other instance: what is to be sent, and a socket that is opened when there is something."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from aiohttp import ClientError, WSMsgType

from lingua_scheduler.auth import new_nonce
from lingua_scheduler.clock import now_ms
from lingua_scheduler.peers.arrivals import NUMBER
from lingua_scheduler.peers.envelope import Item, pack
from lingua_scheduler.peers.pending import NOTICES, Pending
from lingua_scheduler.work import Delivery
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientWebSocketResponse

    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.peers.ways import Way
    from lingua_scheduler.settings import PeerSettings

log = logging.getLogger(__name__)

_BACK_OFF_MS: Final = 200
#: Jobs that wait may need the nodes there: a way that is open again must be found soon.
_BACK_OFF_MAX_MS: Final = 2_000
#: How long a peer may take to read what was sent, before the way counts as broken.
_SEND_S: Final = 5.0


class PeerLink:
    """Send items to one instance, in order, until it has confirmed them.

    When a way breaks, what was not confirmed is sent again over the next one; the other side knows it by its number.
    Jobs don't wait for that: while the instance can't be reached ``send`` refuses them, and those that are queued go
    back to their owner, so that another node gets them; what the store decided is left there. Whether the instance can
    be reached is tried again and again, also when nothing is to be sent, since jobs are kept away from its nodes.

    ``blocked``: the instance could not be reached, by whatever way, when that was tried last.
    """

    def __init__(
        self,
        listener: str,
        settings: PeerSettings,
        carrier: Carrier,
        metrics: Metrics,
        open_way: Callable[[str, str], Awaitable[Way]],
    ) -> None:
        self._listener = listener
        self._settings = settings
        self._carrier = carrier
        self._metrics = metrics
        self._open_way = open_way
        self._pending = Pending(settings.queue_messages, settings.queue_bytes, settings.kept_ms)
        self._stream = new_nonce()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._next_try_ms = 0
        self._waits_since_ms = 0
        self._got_through = False
        self.blocked = False
        self.connected = False
        self.used_ms = now_ms()

    def __len__(self) -> int:
        return len(self._pending)

    def send(self, item: Item) -> bool:
        """Queue an item; False: there is no room, or it is a job and the instance can't be reached."""
        now = now_ms()
        if self.blocked and isinstance(item, NOTICES):
            self._carrier.unreached(item)
            return True
        if (self.blocked and isinstance(item, Delivery)) or not self._pending.add(item, now):
            self._metrics.peer_messages.of("sent", "failed").inc()
            return False
        self.used_ms = now
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"peer-{self._listener}")
        return True

    async def close(self) -> None:
        """Stop; jobs that are queued go back to their owner."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._return_jobs()
        self._count_lost(self._pending.clear())

    def give_up(self) -> None:
        """Try no more: the instance is gone, and nothing waits for it."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        """Open ways, one after the other, while there is something to send or none could be opened."""
        while self._pending or self.blocked:
            await asyncio.sleep(max(0, self._next_try_ms - now_ms()) / 1000)
            self._count_lost(self._pending.take_old(now_ms()))
            try:
                await self._use(await self._open_way(self._listener, self._stream))
            except (ClientError, OSError, TimeoutError, RuntimeError, WireError) as error:
                self._fail(error)

    async def _use(self, way: Way) -> None:
        """Carry over a way until it ends. One that confirmed something did its work: the next is opened at once.

        :raises Exception: it broke before that.
        """
        if self.blocked:
            log.info("peer reached again", extra={"peer": self._listener})
        self.connected, self._got_through, self.blocked = True, False, False
        try:
            await self._carry(way)
        except (ClientError, OSError, TimeoutError, RuntimeError) as error:
            if not self._got_through:
                raise
            log.info("the way to a peer broke", extra={"peer": self._listener, "reason": type(error).__name__})
        finally:
            self.connected = False
            await way.socket.close()
            self._pending.rewind()
        if self._pending and not self._got_through:
            raise ConnectionError("the way ended before anything was confirmed")

    async def _carry(self, way: Way) -> None:
        """Send until the other side closes.

        :raises TimeoutError: the other side does not read, or does not confirm.
        """
        loop = asyncio.get_running_loop()
        reading = loop.create_task(self._hear(way.socket))
        try:
            while not reading.done():
                await self._send_all(way)
                self._wake.clear()
                waking = loop.create_task(self._wake.wait())
                patience_s = self._settings.confirm_ms / 1000 if self._pending.unconfirmed else None
                await asyncio.wait([waking, reading], timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
                if self._pending.unconfirmed and now_ms() - self._waits_since_ms >= self._settings.confirm_ms:
                    raise TimeoutError
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def _send_all(self, way: Way) -> None:
        while (entry := self._pending.next()) is not None:
            if self._pending.unconfirmed == 1:
                self._waits_since_ms = now_ms()
            number = NUMBER.pack(entry.number) if way.confirms else b""
            async with asyncio.timeout(_SEND_S):
                await way.socket.send_frame(number + pack(entry.item), WSMsgType.BINARY)
            self._metrics.peer_messages.of("sent", "ok").inc()
            if not way.confirms:
                self._confirmed(entry.number)
            del entry  # or its audio would stay until the next one

    async def _hear(self, socket: ClientWebSocketResponse) -> None:
        """Read confirmations; something reads all the time, so that pings are answered too."""
        async for message in socket:
            if message.type is WSMsgType.BINARY and len(message.data) == NUMBER.size:
                self._confirmed(NUMBER.unpack(message.data)[0])

    def _confirmed(self, number: int) -> None:
        if self._pending.confirm(number):
            self._waits_since_ms = now_ms()
            self._got_through = True
            self._failures = 0

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        ceiling = min(_BACK_OFF_MAX_MS, _BACK_OFF_MS * 2 ** min(self._failures, 10))
        self._next_try_ms = now_ms() + int(random.uniform(_BACK_OFF_MS, ceiling))
        if not self.blocked:
            log.warning("peer not reached", extra={"peer": self._listener, "reason": type(error).__name__})
        self.blocked = True
        self._return_jobs()
        for notice in self._pending.take_notices():
            self._carrier.unreached(notice)

    def _return_jobs(self) -> None:
        jobs = self._pending.take_deliveries()
        self._count_lost(len(jobs))
        for job in jobs:
            self._carrier.undelivered(job)

    def _count_lost(self, count: int) -> None:
        if count:
            self._metrics.peer_messages.of("sent", "failed").inc(count)
