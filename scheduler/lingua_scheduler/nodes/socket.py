"""``/ws/node``: the socket of one node, from the upgrade to its end. I/O only; what is said is judged elsewhere."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from lingua_scheduler.expiry import Expiry
from lingua_scheduler.handle import HANDLE
from lingua_scheduler.lingering import LingeringSocket
from lingua_scheduler.nodes.link import NodeLink
from lingua_scheduler.nodes.member import Member, Replaced, close_of
from lingua_scheduler.nodes.profile import node_profile
from lingua_scheduler.pump import Pump
from lingua_scheduler.tokens import AuthError
from lingua_state.errors import DeclarationApart, StateError
from lingua_wire import codec
from lingua_wire.catalogue import Direction
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.node_messages import (
    JobAck,
    JobResult,
    JobStarted,
    NodeAsrPartial,
    NodeError,
    NodeHeartbeat,
    NodeRegister,
    NodeRegisterAck,
)
from lingua_wire.session_messages import Error

if TYPE_CHECKING:
    from aiohttp import WSMessage

    from lingua_scheduler.auth import NodeIdentity
    from lingua_scheduler.scheduler import Scheduler
    from lingua_wire.fields import Message

log = logging.getLogger(__name__)


async def serve_node(request: web.Request) -> web.WebSocketResponse:
    """Serve one node.

    :raises AuthError: its credential is refused, before the upgrade. :raises WireError: there is no room.
    """
    scheduler = request.app[HANDLE]
    identity = scheduler.auth.node(request.headers, takes_declared=scheduler.gate.takes_declared)
    if scheduler.draining:
        raise WireError(ErrorCode.DRAINING, "this instance is going away")
    if len(scheduler.nodes) >= scheduler.settings.nodes.limit:
        raise WireError(ErrorCode.SESSION_LIMIT, "this instance holds as many nodes as it may")
    settings = scheduler.settings.http
    socket = LingeringSocket(
        message_bytes=settings.node_message_bytes + 1024, message_ms=settings.message_ms, ping_ms=settings.ping_ms
    )
    await socket.prepare(request)
    connection = NodeConnection(scheduler, socket, request, identity)
    await connection.run()
    await socket.linger()
    return socket


class NodeConnection:
    """One socket. ``link`` and ``member`` are there once the node has registered."""

    def __init__(
        self, scheduler: Scheduler, socket: web.WebSocketResponse, request: web.Request, identity: NodeIdentity
    ) -> None:
        self._scheduler = scheduler
        self._socket = socket
        self._identity = identity
        self._pump = Pump(socket, request.transport, self._take, scheduler.settings.http.send_ms)
        self._link: NodeLink | None = None
        self._member: Member | None = None
        self._beating: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._reason = "closed"

    async def run(self) -> None:
        """Read until the end, then take the node out."""
        expiry = Expiry(self._identity.expires_s, self._expired)
        try:
            await self._read()
        except WireError as error:
            await self._refuse(error)
        except asyncio.CancelledError:
            self._pump.abort()
            raise
        except Exception:
            log.exception("a node's connection failed", extra={"node_id": self._name})
            await self._refuse(
                WireError(ErrorCode.INTERNAL_ERROR, "something went wrong here", close=CloseCode.INTERNAL)
            )
        finally:
            expiry.stop()
            await self._leave()

    async def _read(self) -> None:
        deadline_s = self._scheduler.settings.http.handshake_ms / 1000
        try:
            async with asyncio.timeout(deadline_s):
                while self._link is None:
                    await self._take_message(await self._socket.receive())
                    if self._socket.closed:
                        return
        except TimeoutError:
            raise WireError(
                ErrorCode.IDLE_TIMEOUT, "node_register did not come in time", close=CloseCode.IDLE
            ) from None
        async for message in self._socket:
            await self._take_message(message)

    async def _take_message(self, packet: WSMessage) -> None:
        try:
            if packet.type is WSMsgType.TEXT:
                await self._hear(codec.decode(packet.data, Direction.FROM_NODE, max_bytes=self._limit))
            elif packet.type is WSMsgType.BINARY:
                self._registered().take_frame(packet.data)
        except WireError as error:
            if error.close is not None or self._link is None:
                raise
            self._link.complain(error)

    async def _hear(self, message: Message) -> None:
        match message:
            case JobAck() | JobStarted() | NodeAsrPartial() | JobResult():
                self._registered().take_word(message)
            case NodeHeartbeat():
                self._beat(message)
            case NodeRegister():
                await self._register(message)
            case NodeError():
                code = message.code if message.code in ErrorCode.__members__ else ErrorCode.PROCESSING_ERROR
                self._scheduler.metrics.errors.of("node", code).inc()
                log.warning("node reports trouble", extra={"node_id": self._name, "code": code})
            case _:
                raise WireError(ErrorCode.UNKNOWN_MESSAGE, f"{message.type} is not for the scheduler")

    async def _register(self, message: NodeRegister) -> None:
        scheduler = self._scheduler
        profile = node_profile(message.extensions, scheduler.settings.nodes)
        member = self._member or Member(
            scheduler.store, scheduler.carrier, scheduler.settings.nodes, profile, scheduler.gate
        )
        before = member.node_id
        if before and message.node_id not in (None, before):
            raise WireError(ErrorCode.NODE_ID_CONFLICT, "node_id: this connection is another node's")
        link = self._link
        if link is None:
            link = NodeLink("", member.incarnation, profile, scheduler.carrier, scheduler.metrics, self._limit)
            link.pump = self._pump
        try:
            # Who may not come in must not push another connection out of the hub.
            link.node_id = await member.admit(message, self._identity)
            # The link is in the hub before the store can choose the node: a waiting job may come at once.
            scheduler.nodes.add(link, member)
            self._link, self._member = link, member
            await member.register()
        except (AuthError, StateError) as error:
            raise close_of(error) from error
        self._acknowledge(member, link)

    def _acknowledge(self, member: Member, link: NodeLink) -> None:
        profile = link.profile
        ack = NodeRegisterAck.model_construct(node_id=member.node_id, message="registered", status=member.status)
        if not profile.base:
            more = {
                "extensions": tuple(sorted(profile.extensions)),
                "heartbeat_ms": profile.heartbeat_ms,
                "lease_ms": profile.lease_ms,
                "max_jobs": member.capacity,
                "instance_id": self._scheduler.instance_id,
            }
            ack = ack.model_copy(update=more)
        link.greet(ack)
        self._scheduler.nodes.show()
        log.info(
            "node registered", extra={"node_id": member.node_id, "profile": "base" if profile.base else "extended"}
        )

    def _beat(self, message: NodeHeartbeat) -> None:
        """Pass a heartbeat on without waiting; one before registration (base nodes do that) is left out."""
        if self._member is None or (self._beating is not None and not self._beating.done()):
            return
        self._beating = asyncio.get_running_loop().create_task(self._tell_beat(self._member, message))

    async def _tell_beat(self, member: Member, message: NodeHeartbeat) -> None:
        before = member.status
        try:
            await member.beat(message)
        except Replaced:
            self._reason = "replaced"
            await self._pump.close(CloseCode.REPLACED, "a newer connection holds this node")
        except WireError as error:
            self._registered().complain(error)
        except (AuthError, DeclarationApart) as error:
            # What can't be told just now is asked again with the next heartbeat.
            if error.code != ErrorCode.SCHEDULER_DEPENDENCY_DOWN:
                await self._registered().dismiss(close_of(error))
        except StateError as error:
            self._scheduler.metrics.store_errors.of(error.code).inc()
        if member.status is not before:
            self._scheduler.nodes.show()

    def _registered(self) -> NodeLink:
        if self._link is None:
            raise WireError(ErrorCode.OUT_OF_STATE, "node_register comes first", close=CloseCode.BAD_SETTINGS)
        return self._link

    def _take(self) -> tuple[str | bytes, ...] | None:
        return self._link.take() if self._link is not None else None

    async def _refuse(self, error: WireError) -> None:
        """Close with a reason; a node that got no acknowledgement, or an extended one, is told the error first."""
        self._reason = "protocol"
        self._scheduler.metrics.errors.of("node", error.code).inc()
        log.warning("node refused", extra={"node_id": self._name, "code": error.code})
        close = error.close or CloseCode.BAD_SETTINGS
        if self._link is None or self._link.profile.errors:
            told = Error.model_construct(code=error.code, message=error.message)
            try:
                async with asyncio.timeout(1):
                    await self._socket.send_str(codec.encode_text(told))
            except (TimeoutError, ConnectionError, RuntimeError):
                pass
        await self._pump.close(close, f"{error.code}: {error.message}")

    def _expired(self) -> None:
        error = WireError(ErrorCode.UNAUTHENTICATED, "the credential has run out", close=CloseCode.UNAUTHENTICATED)
        self._scheduler.metrics.auth_refused.of("node", error.code).inc()
        self._ending = asyncio.get_running_loop().create_task(self._refuse(error))

    async def _leave(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
        if self._link is not None and self._member is not None:
            await self._scheduler.nodes.remove(self._link, self._member, self._why())
        if self._ending is not None:
            await asyncio.wait([self._ending])
        if not self._socket.closed:
            await self._pump.close(CloseCode.NORMAL)

    def _why(self) -> str:
        half_open = isinstance(self._socket.exception(), TimeoutError)
        ended = self._link.left if self._link is not None else ""
        return "half_open" if half_open else ended or self._reason

    @property
    def _limit(self) -> int:
        return self._scheduler.settings.http.node_message_bytes

    @property
    def _name(self) -> str:
        return self._link.node_id if self._link is not None else ""
