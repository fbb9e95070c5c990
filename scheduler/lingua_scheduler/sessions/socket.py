"""``/ws/session``: the socket of one client from the upgrade to its end. I/O only; what is said is judged elsewhere."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType, web

from lingua_scheduler.clock import now_ms
from lingua_scheduler.expiry import Expiry
from lingua_scheduler.handle import HANDLE
from lingua_scheduler.lingering import LingeringSocket
from lingua_scheduler.pump import Pump
from lingua_scheduler.sessions.opening import Opening
from lingua_scheduler.sessions.pace_bytes import BytePace
from lingua_scheduler.sessions.terms import terms_of
from lingua_wire import codec
from lingua_wire.catalogue import Direction
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.session_messages import Error, SessionCloseAck, SessionInit, SessionInitAck, SessionResumed

if TYPE_CHECKING:
    from aiohttp import WSMessage

    from lingua_scheduler.auth import Identity
    from lingua_scheduler.scheduler import Scheduler
    from lingua_scheduler.sessions.session import Session
    from lingua_wire.fields import Message

log = logging.getLogger(__name__)

PROTOCOL_VERSION = "1.0"

#: How a connection ends whose client may come back: lost, or closed for a reason that is not the session's.
_COMING_BACK = frozenset(
    {None, WSCloseCode.ABNORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.RESTART, CloseCode.TRY_LATER}
    | {CloseCode.UNAUTHENTICATED}
)
#: What a client is told before its socket is closed, whoever holds its session.
_LAST_WORDS = {
    CloseCode.REPLACED: (ErrorCode.SESSION_REPLACED, "the session goes on over a newer connection"),
    CloseCode.UNAUTHENTICATED: (ErrorCode.UNAUTHENTICATED, "the token has run out"),
}


async def serve_session(request: web.Request) -> web.WebSocketResponse:
    """Serve one client.

    :raises AuthError: its credential is refused, before the upgrade. :raises WireError: there is no room, or this
        instance is going away.
    """
    scheduler = request.app[HANDLE]
    if scheduler.draining:
        raise WireError(ErrorCode.DRAINING, "this instance is going away")
    if scheduler.sessions.full:
        raise WireError(ErrorCode.SESSION_LIMIT, "this instance holds as many sessions as it may")
    identity = await scheduler.auth.client(request.headers)
    if (wait_s := scheduler.admission.ask(time.monotonic())) is not None:
        raise WireError(ErrorCode.SESSION_LIMIT, "very many connect at this moment", retry_after_s=wait_s)
    settings = scheduler.settings.http
    socket = LingeringSocket(
        message_bytes=max(settings.json_audio_bytes, settings.frame_bytes) + 1024,
        message_ms=settings.message_ms,
        ping_ms=settings.ping_ms,
        protocols=(identity.subprotocol,) if identity.subprotocol else (),
    )
    await socket.prepare(request)
    scheduler.sessions.opening += 1
    await ClientConnection(scheduler, socket, request, identity).run()
    await socket.linger()
    return socket


class ClientConnection:
    """One socket; ``session`` is there once ``session_init`` was accepted."""

    def __init__(
        self, scheduler: Scheduler, socket: web.WebSocketResponse, request: web.Request, identity: Identity
    ) -> None:
        self._scheduler = scheduler
        self._socket = socket
        self._identity = identity
        self._asker = scheduler.pairing.asker(request, identity)
        self._pump = Pump(socket, request.transport, self._take, scheduler.settings.http.send_ms, self.overflow)
        flow = scheduler.settings.flow
        self._bytes = BytePace(flow.rate_bytes, flow.burst_bytes, now_ms())
        self._session: Session | None = None
        self._opening = True
        self._closing: asyncio.Task[None] | None = None
        self._code = CloseCode.NORMAL

    async def run(self) -> None:
        """Read until the end, then forget the session."""
        code = CloseCode.NORMAL
        expiry = Expiry(self._identity.expires_s, self._expired)
        try:
            await self._open()
            await self._read()
        except WireError as error:
            code = error.close or CloseCode.BAD_SETTINGS
            await self._refuse(error, code)
        except asyncio.CancelledError:
            self._pump.abort()
            raise
        except ConnectionError:
            log.info("a connection was lost", extra={"session_id": self._name})
        except Exception:
            code = CloseCode.INTERNAL
            log.exception("a session failed", extra={"session_id": self._name})
            await self._refuse(WireError(ErrorCode.INTERNAL_ERROR, "something went wrong here"), code)
        finally:
            expiry.stop()
            await self._leave(code)

    async def _open(self) -> None:
        """Wait for ``session_init``; other messages before it are out of state."""
        try:
            async with asyncio.timeout(self._scheduler.settings.http.handshake_ms / 1000):
                while self._session is None and not self._socket.closed:
                    await self._first(await self._socket.receive())
        except TimeoutError:
            raise WireError(ErrorCode.IDLE_TIMEOUT, "session_init did not come in time", close=CloseCode.IDLE) from None

    async def _first(self, packet: WSMessage) -> None:
        if packet.type is WSMsgType.BINARY:
            raise WireError(
                ErrorCode.OUT_OF_STATE, "session_init comes first, as text", close=CloseCode.WRONG_FRAME_KIND
            )
        if packet.type is not WSMsgType.TEXT:
            return
        try:
            message = _init_of(codec.decode(packet.data, Direction.FROM_CLIENT))
        except WireError as error:
            if error.close is not None:
                raise
            if self._is_init(packet.data):
                raise WireError(error.code, error.message, close=CloseCode.BAD_SETTINGS) from error
            await self._say(error)
            return
        await self._begin(message)

    async def _begin(self, init: SessionInit) -> None:
        scheduler = self._scheduler
        terms = terms_of(init, self._identity, scheduler.settings)
        await scheduler.pairing.check(terms.pairing, self._asker)
        if scheduler.draining:
            raise WireError(ErrorCode.DRAINING, "this instance is going away", close=CloseCode.TRY_LATER)
        opened = await Opening(scheduler, self).open(init, terms)
        session = self._session = opened.session
        self._opened()
        session.teller.send(_ack(session, scheduler.instance_id, opened.token))
        if opened.resumed:
            session.teller.send(_resumed(session))
            session.replay(init.last_seq or 0)
        self._move_if_draining(session)
        words = {"session_id": session.session_id, "profile": session.terms.profile.name}
        log.info("session resumed" if opened.resumed else "session opened", extra=words)

    def _move_if_draining(self, session: Session) -> None:
        """Tell a session that came while a drain began: that told those which were there."""
        if self._scheduler.draining:
            self._scheduler.sessions.move(session, "drain", self._scheduler.settings.drain.grace_ms)

    async def _read(self) -> None:
        async for packet in self._socket:
            if self._session is None or self._closing is not None:
                continue
            try:
                pause_ms = self._hear(self._session, packet)
            except WireError as error:
                if error.close is not None:
                    raise
                self._session.teller.error(error.code, error.message)
                pause_ms = self._session.refused()
            pause_ms = max(pause_ms, self._bytes.take(_size_of(packet), now_ms()))
            if pause_ms:
                await asyncio.sleep(pause_ms / 1000)

    def _hear(self, session: Session, packet: WSMessage) -> int:
        if session.finishing:
            return 0
        if packet.type is WSMsgType.BINARY:
            if len(packet.data) > self._scheduler.settings.http.frame_bytes:
                raise WireError(ErrorCode.TOO_LARGE, "the binary frame is too large", close=CloseCode.TOO_BIG)
            return session.take_frame(packet.data)
        if packet.type is WSMsgType.TEXT:
            limit = self._scheduler.settings.http.json_audio_bytes
            return session.take(codec.decode(packet.data, Direction.FROM_CLIENT, max_bytes=limit))
        return 0

    # The session's line

    def send(self, frames: tuple[str | bytes, ...]) -> bool:
        """Send an event at once, if this is the session's line and has greeted its client."""
        return self._session is not None and self._session.line is self and self._pump.send(frames)

    def wake(self) -> None:
        """Send what waits."""
        self._pump.wake()

    def overflow(self) -> None:
        """End a client that does not read, or too slowly: what waits for it is at a bound."""
        if self._closing is not None:
            return
        self._scheduler.metrics.errors.of("client", ErrorCode.SLOW_CONSUMER).inc()
        self.close(CloseCode.TRY_LATER)

    def settled(self) -> None:
        """End a session that takes no more audio."""
        if self._session is not None and self._session.finishing and self._closing is None:
            if not self._scheduler.draining:
                self._session.teller.send(SessionCloseAck.model_construct(session_id=self._session.session_id))
            self.close(
                self._scheduler.sessions.drain_code(self._session) if self._scheduler.draining else CloseCode.NORMAL
            )

    def close(self, code: CloseCode) -> None:
        """Close the socket, after what waits was sent."""
        if self._closing is None:
            self._code = code
            self._closing = asyncio.get_running_loop().create_task(self._end(code))

    def _expired(self) -> None:
        self._scheduler.metrics.auth_refused.of("client", ErrorCode.UNAUTHENTICATED).inc()
        self.close(CloseCode.UNAUTHENTICATED)

    async def _end(self, code: CloseCode) -> None:
        if code in _LAST_WORDS:
            await self._say_here(*_LAST_WORDS[code])
        await self._pump.close(code)

    def _take(self) -> tuple[str | bytes, ...] | None:
        session = self._session
        return session.teller.take() if session is not None and session.line is self else None

    async def _refuse(self, error: WireError, code: CloseCode) -> None:
        """Tell the error, then close."""
        await self._say(error)
        log.info("session refused", extra={"session_id": self._name, "code": error.code, "close_code": int(code)})
        await self._pump.close(code, error.code)

    async def _say(self, error: WireError) -> None:
        if self._session is not None and self._session.line is self:
            self._session.teller.error(error.code, error.message)
            return
        self._scheduler.metrics.errors.of("client", error.code).inc()
        await self._say_here(error.code, error.message)

    async def _say_here(self, code: ErrorCode, message: str) -> None:
        """Tell this client, whoever holds the session."""
        told = Error.model_construct(code=code.value, message=message)
        try:
            async with asyncio.timeout(1):
                await self._socket.send_str(codec.encode_text(told))
        except (TimeoutError, ConnectionError, RuntimeError):
            pass

    async def _leave(self, code: CloseCode) -> None:
        self._opened()
        session = self._session
        code = self._code if self._closing is not None else code
        if session is not None and session.line is self:
            if self._may_come_back(session, code):
                session.lose()
            else:
                session.drop()
                await self._scheduler.sessions.remove(session)
        if self._closing is not None:
            await asyncio.wait([self._closing])
        elif not self._socket.closed:
            await self._pump.close(code)
        self._scheduler.metrics.sessions_closed.of(str(self._ended_with(code))).inc()

    def _ended_with(self, code: CloseCode) -> int:
        """Tell the close code: this side's where it ended the connection, though the peer may not have read it."""
        own = self._closing is not None or code is not CloseCode.NORMAL
        return int(code) if own else self._socket.close_code or int(code)

    def _may_come_back(self, session: Session, code: CloseCode) -> bool:
        """Tell whether the session waits for its client: nobody wanted its end, and nothing is wrong with it."""
        if not session.terms.profile.resume or session.finishing:
            return False
        if self._closing is not None:
            return self._code in _COMING_BACK
        return code is CloseCode.NORMAL and self._socket.close_code in _COMING_BACK

    def _opened(self) -> None:
        if self._opening:
            self._opening = False
            self._scheduler.sessions.opening -= 1

    @staticmethod
    def _is_init(raw: bytes) -> bool:
        return b'"session_init"' in raw[:256]

    @property
    def _name(self) -> str:
        return self._session.session_id if self._session is not None else ""


def _size_of(packet: WSMessage) -> int:
    return len(packet.data) if isinstance(packet.data, bytes | str) else 0


def _init_of(message: Message) -> SessionInit:
    if not isinstance(message, SessionInit):
        raise WireError(ErrorCode.OUT_OF_STATE, "session_init comes first")
    return message


def _resumed(session: Session) -> SessionResumed:
    return SessionResumed.model_construct(
        session_id=session.session_id,
        resume_from_sample=session.received_samples,
        next_utterance_index=session.next_index,
        trace_id=session.terms.trace_id,
    )


def _ack(session: Session, instance_id: str, token: str | None) -> SessionInitAck:
    terms = session.terms
    profile = terms.profile
    return SessionInitAck.model_construct(
        session_id=session.session_id,
        message="session created",
        trace_id=terms.trace_id,
        protocol_version=PROTOCOL_VERSION,
        use_binary_frame=profile.binary_audio,
        negotiated_codec=terms.audio_format.value,
        negotiated_audio_format=terms.audio_format.value,
        negotiated_sample_rate=terms.sample_rate,
        negotiated_channel_count=1,
        extensions=tuple(sorted(profile.extensions)) if profile.extensions else None,
        instance_id=instance_id if profile.extensions else None,
        resume_token=token,
    )
