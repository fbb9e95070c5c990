"""The other instances: whom this one has a way to, and the door through which they come in."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiohttp import ClientError, WSMsgType, web

from lingua_scheduler.peers.arrivals import NUMBER, Confirmer, Stream, Streams
from lingua_scheduler.peers.envelope import MESSAGE_BYTES, Item, unpack
from lingua_scheduler.peers.handshake import greet_as_listener
from lingua_scheduler.peers.link import PeerLink
from lingua_scheduler.peers.ways import PATH, PING_S, Ways, join
from lingua_wire.codes import CloseCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.settings import PeerSettings
    from lingua_state.client import Store

__all__ = ["PATH", "Peers"]

log = logging.getLogger(__name__)

#: Ways of others that go through this instance at once.
_THROUGH: Final = 64


class Peers:
    """Reach other instances by the addresses they announced, and take in what they send."""

    def __init__(
        self, instance_id: str, secret: str, store: Store, settings: PeerSettings, carrier: Carrier, metrics: Metrics
    ) -> None:
        self.instance_id = instance_id
        self._ways = Ways(instance_id, secret, store, settings)
        self._settings = settings
        self._carrier = carrier
        self._metrics = metrics
        self._links: dict[str, PeerLink] = {}
        self._streams = Streams()
        self._callers: set[web.WebSocketResponse] = set()
        self._through = 0
        metrics.peers_connected.set_function(lambda: sum(link.connected for link in self._links.values()))
        metrics.peer_waiting.set_function(lambda: self.waiting)

    def send(self, instance_id: str, item: Item) -> bool:
        """Queue an item for another instance; False: it can't be reached."""
        link = self._links.get(instance_id)
        if link is None:
            link = PeerLink(instance_id, self._settings, self._carrier, self._metrics, self._ways.open)
            self._links[instance_id] = link
        return link.send(item)

    def unreachable(self) -> tuple[str, ...]:
        """List the instances that could not be reached when that was tried last, by whatever way."""
        return tuple(name for name, link in self._links.items() if link.blocked)

    @property
    def waiting(self) -> int:
        """Count what other instances have not confirmed yet."""
        return sum(map(len, self._links.values()))

    def rekey(self, secret: str) -> None:
        """Use another secret from the next connection on."""
        self._ways.secret = secret

    def forget(self, living: set[str], *, idle_since_ms: int) -> None:
        """Drop the ways to instances that are gone, for which nothing waits and to which nothing was sent since."""
        for name, link in list(self._links.items()):
            if name not in living and not link.connected and not len(link) and link.used_ms < idle_since_ms:
                self._links.pop(name).give_up()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve ``/ws/peer``: let an instance prove itself, then take what it sends, or carry it on."""
        socket = web.WebSocketResponse(compress=False, heartbeat=PING_S, max_msg_size=MESSAGE_BYTES)
        await socket.prepare(request)
        try:
            async with asyncio.timeout(self._settings.connect_ms / 1000):
                caller, stream = await greet_as_listener(socket, self._ways.secret, self.instance_id)
        except (WireError, TimeoutError, ConnectionError) as error:
            code = getattr(error, "code", "handshake_broken")
            self._metrics.auth_refused.of("peer", str(code)).inc()
            log.warning("a peer was refused", extra={"code": str(code)})
            await socket.close(code=CloseCode.UNAUTHENTICATED)
            return socket
        self._callers.add(socket)
        try:
            if onward := request.query.get("to", ""):
                await self._carry_on(socket, onward)
            else:
                await self._take_all(socket, caller, self._streams.of(caller, stream) if stream else None)
        finally:
            self._callers.discard(socket)
        return socket

    async def close(self) -> None:
        """Close every way, both directions."""
        await asyncio.gather(*(link.close() for link in self._links.values()))
        await asyncio.gather(*(socket.close(code=CloseCode.GOING_AWAY) for socket in self._callers))
        await self._ways.close()

    async def _take_all(self, socket: web.WebSocketResponse, caller: str, stream: Stream | None) -> None:
        confirmer = Confirmer(socket, stream) if stream is not None else None
        try:
            async for message in socket:
                if message.type is not WSMsgType.BINARY:
                    break
                data: bytes = message.data
                if stream is not None and confirmer is not None:
                    confirmer.soon()
                    if not _is_new(stream, data):
                        self._metrics.peer_messages.of("received", "repeated").inc()
                        continue
                    data = data[NUMBER.size :]
                if not self._take(data, caller) and stream is None:
                    await socket.close(code=CloseCode.BAD_DATA)
        finally:
            if confirmer is not None:
                await confirmer.stop()

    def _take(self, data: bytes, caller: str) -> bool:
        """Take one item. One that nobody here can read, or that does harm, is left out: it would only come again."""
        try:
            item = unpack(data)
        except WireError as error:
            log.warning("a peer broke the protocol", extra={"peer": caller, "code": error.code})
            self._metrics.peer_messages.of("received", "failed").inc()
            return False
        self._metrics.peer_messages.of("received", "ok").inc()
        try:
            self._carrier.receive(item)
        except Exception:
            log.exception("what a peer sent could not be taken", extra={"peer": caller})
        return True

    async def _carry_on(self, socket: web.WebSocketResponse, onward: str) -> None:
        """Stand between a caller and an instance that it can't reach. Only directly: nobody is sent in a circle."""
        if self._through >= _THROUGH:
            await socket.close(code=CloseCode.TRY_LATER)
            return
        self._through += 1
        try:
            async with asyncio.timeout(self._settings.connect_ms / 1000):
                there = await self._ways.dial(onward)
            await join(socket, there)
        except (ClientError, OSError, TimeoutError, RuntimeError) as error:
            log.info("a way through here did not come about", extra={"peer": onward, "reason": type(error).__name__})
            await socket.close(code=CloseCode.TRY_LATER)
        finally:
            self._through -= 1


def _is_new(stream: Stream, data: bytes) -> bool:
    return len(data) >= NUMBER.size and stream.is_new(NUMBER.unpack_from(data)[0])
