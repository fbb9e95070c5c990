"""The other instances: whom this one has a way to, and the door through which they come in."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, WSMsgType, web

from lingua_scheduler.peers.envelope import MESSAGE_BYTES, Item, unpack
from lingua_scheduler.peers.handshake import greet_as_listener
from lingua_scheduler.peers.link import PeerLink
from lingua_state import instances
from lingua_state.errors import StateError
from lingua_wire.codes import CloseCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.settings import PeerSettings
    from lingua_state.client import Store

log = logging.getLogger(__name__)

PATH = "/ws/peer"
PING_S = 10.0


class Peers:
    """Reach other instances by the addresses they announced, and take in what they send."""

    def __init__(
        self, instance_id: str, secret: str, store: Store, settings: PeerSettings, carrier: Carrier, metrics: Metrics
    ) -> None:
        self.instance_id = instance_id
        self._secret = secret
        self._store = store
        self._settings = settings
        self._carrier = carrier
        self._metrics = metrics
        self._links: dict[str, PeerLink] = {}
        self._callers: set[web.WebSocketResponse] = set()
        self._http: ClientSession | None = None
        metrics.peers_connected.set_function(lambda: sum(link.connected for link in self._links.values()))

    def send(self, instance_id: str, item: Item) -> bool:
        """Queue an item for another instance; False: it can't be reached."""
        link = self._links.get(instance_id)
        if link is None:
            names = (self.instance_id, instance_id)
            link = PeerLink(names, self._secret, self._settings, self._carrier, self._metrics, self._dial)
            self._links[instance_id] = link
        return link.send(item)

    def rekey(self, secret: str) -> None:
        """Use another secret from the next connection on."""
        if secret != self._secret:
            self._secret = secret
            for link in self._links.values():
                link.secret = secret

    def forget(self, living: set[str], *, idle_since_ms: int) -> None:
        """Drop the ways to instances that are gone and to which nothing was sent since."""
        for name, link in list(self._links.items()):
            if name not in living and not link.connected and link.used_ms < idle_since_ms:
                del self._links[name]

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve ``/ws/peer``: let an instance prove itself, then take what it sends."""
        socket = web.WebSocketResponse(compress=False, heartbeat=PING_S, max_msg_size=MESSAGE_BYTES)
        await socket.prepare(request)
        try:
            async with asyncio.timeout(self._settings.connect_ms / 1000):
                caller = await greet_as_listener(socket, self._secret, self.instance_id)
        except (WireError, TimeoutError, ConnectionError) as error:
            code = getattr(error, "code", "handshake_broken")
            self._metrics.auth_refused.of("peer", str(code)).inc()
            log.warning("a peer was refused", extra={"code": str(code)})
            await socket.close(code=CloseCode.UNAUTHENTICATED)
            return socket
        self._callers.add(socket)
        try:
            await self._take_all(socket, caller)
        finally:
            self._callers.discard(socket)
        return socket

    async def close(self) -> None:
        """Close every way, both directions."""
        await asyncio.gather(*(link.close() for link in self._links.values()))
        await asyncio.gather(*(socket.close(code=CloseCode.GOING_AWAY) for socket in self._callers))
        if self._http is not None:
            await self._http.close()

    async def _take_all(self, socket: web.WebSocketResponse, caller: str) -> None:
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                break
            try:
                item = unpack(message.data)
            except WireError as error:
                log.warning("a peer broke the protocol", extra={"peer": caller, "code": error.code})
                self._metrics.peer_messages.of("received", "failed").inc()
                await socket.close(code=CloseCode.BAD_DATA)
                return
            self._metrics.peer_messages.of("received", "ok").inc()
            self._carrier.receive(item)

    async def _dial(self, instance_id: str) -> ClientWebSocketResponse:
        """Connect to an instance at the address that the store has for it, and at no other."""
        try:
            record = await instances.get(self._store, instance_id)
        except StateError as error:
            raise ClientError("the store does not answer") from error
        if record is None:
            raise ClientError("the instance is not known")
        if self._http is None:
            self._http = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None))
        return await self._http.ws_connect(
            record.address.rstrip("/") + PATH, compress=0, heartbeat=PING_S, max_msg_size=MESSAGE_BYTES
        )
