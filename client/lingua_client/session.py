"""One translation session: audio goes out, events come in, and each utterance has exactly one outcome.

The parts are elsewhere: ``link`` the socket, ``outgoing`` what is sent, ``incoming`` the meaning of messages,
``ledger`` what is owed, ``ring`` what can be sent again, ``inbox`` the way to the user. This file is the life of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from lingua_client import address, opening, refusals
from lingua_client.errors import AudioError, LinguaError, ProtocolError, SessionEndedError, TranslationFailedError
from lingua_client.events import Backpressure, Closed, Event, Failed, Reconnecting, Renewed, Resumed
from lingua_client.inbox import Inbox
from lingua_client.incoming import Incoming
from lingua_client.ledger import Ledger
from lingua_client.link import open_once, wait_before
from lingua_client.outgoing import Outgoing, Progress
from lingua_client.pacing import Pace, Pacer
from lingua_client.recovery import Recovery, Return, is_lost
from lingua_client.ring import Ring
from lingua_client.settings import EXTENSIONS, SessionSettings
from lingua_client.sources import SAMPLE_RATE, Source, chunks, default_pace
from lingua_wire import frames
from lingua_wire import session_messages as wire
from lingua_wire.codes import CloseCode
from lingua_wire.fields import Extension, Message, Mode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from lingua_client.address import Address
    from lingua_client.link import Link

_CLOSE_ACK_S = 5.0
#: Events that come within this time are acknowledged together.
_TOGETHER_S = 0.1
#: Not an end: the session went on over another connection.
_MOVED = SessionEndedError("MOVED", "the session goes on over another connection")


@asynccontextmanager
async def connect(
    url: str,
    *,
    source: str,
    target: str,
    mode: str = Mode.ONE_WAY,
    token: str | None = None,
    extensions: Sequence[str] = EXTENSIONS,
    settings: SessionSettings | None = None,
) -> AsyncIterator[Session]:
    """Open a session: ``async with connect(url, source="en", target="es") as session``.

    :param url: as :func:`lingua_client.address.parse` reads it.
    :param source: the language spoken, or ``auto``; with ``two_way_auto`` one person's, ``target`` the other's.
    :param extensions: what to ask for; ``()`` speaks the base protocol.
    :raises CannotReachError: nobody answers within ``settings.connect_timeout_s``.
    :raises RefusedError: the service refuses the caller, the pair or the settings.
    """
    chosen = settings or SessionSettings()
    init = opening.session_init(source, target, Mode(mode), extensions, chosen)
    place = address.parse(url)
    link, ack = await opening.open_session(place, token, init, chosen.connect_timeout_s)
    session = Session(link, ack, init, chosen, place, token)
    try:
        yield session
    except BaseException:
        await session.abandon()
        raise
    await session.close()


class Session:
    """An open session, made by :func:`connect`. Iterate over it for events; one reader, one sender at a time."""

    def __init__(
        self,
        link: Link,
        ack: wire.SessionInitAck,
        init: wire.SessionInit,
        settings: SessionSettings,
        place: Address,
        token: str | None,
    ) -> None:
        self.session_id = ack.session_id
        self.trace_id = ack.trace_id
        self.instance_id = ack.instance_id or ""
        self.extensions = frozenset(ack.extensions or ())
        self._link = link
        self._place = place
        self._token = token
        self._settings = settings
        self._ledger = Ledger(reports=Extension.FINALIZE_REPORTS in self.extensions)
        ring = Ring(settings.ring_ms * SAMPLE_RATE // 1000)
        self._outgoing = Outgoing(link, ack.session_id, init, self.extensions, self._ledger, ring)
        self._incoming = Incoming(self._ledger, ring, self._outgoing)
        self._outgoing.renumber = self._incoming.index_for_again
        self._recovery = Recovery(place, token, init, self._incoming.position, lambda: ring.start)
        self._recovery.took(ack)
        self._inbox = Inbox(settings.unread_events)
        self._progress = Progress()
        self._turn = asyncio.Lock()
        self._seen = asyncio.Event()
        self._closing = False
        self._goodbye = False
        self._ended: LinguaError | None = None
        self._tasks = [asyncio.create_task(duty) for duty in (self._live(), self._beat(), self._acknowledge())]

    async def send(self, pcm: bytes) -> None:
        """Send 16 kHz mono PCM16; waits while the service is behind (back-pressure).

        :raises SessionEndedError: (or another :class:`LinguaError`) the session is over.
        :raises AudioError: an odd number of bytes, or nobody reads the events (``NO_READER``).
        """
        if len(pcm) % 2:
            raise AudioError("BAD_AUDIO", "PCM16 has two bytes for each sample, and these bytes are odd in number")
        await self._outgoing.wait_for_room(self._progress, lambda: self._inbox.full, self._settings)
        self._check_open()
        await self._outgoing.audio(bytes(pcm))

    async def finalize(self) -> None:
        """End the utterance being spoken; without audio since the last end nothing happens."""
        self._check_open()
        await self._outgoing.end_of_utterance()

    async def stream(self, source: Source, *, pace: Pace | None = None) -> None:
        """Send all of a source and end the utterance after it.

        :param pace: recordings go in real time unless told otherwise; live sources as they come.
        :raises AudioError: the source cannot be read.
        """
        pacer = Pacer(pace or default_pace(source), _now_ms())
        async for chunk in chunks(source):
            await asyncio.sleep(pacer.wait_ms(len(chunk) / 2 / SAMPLE_RATE * 1000, _now_ms()) / 1000)
            await self.send(chunk)
        await self.finalize()

    async def finish(self) -> None:
        """Say that no more audio comes: iteration ends once every utterance has its outcome."""
        await self.finalize()
        self._tasks.append(asyncio.create_task(self._end_when_settled()))

    async def translate(self, source: Source, *, pace: Pace | None = None) -> AsyncIterator[Event]:
        """Stream a source and give the events until every utterance has its outcome; then the session has finished."""
        sending = asyncio.create_task(self._stream_and_finish(source, pace))
        try:
            async for event in self:
                yield event
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending

    async def change(
        self,
        *,
        source: str | None = None,
        target: str | None = None,
        pause_ms: int | None = None,
        vad_silence_ms: int | None = None,
    ) -> None:
        """Change languages or cutting from the next utterance on; what is None stays as it is."""
        self._check_open()
        changes = {"src_lang": source, "tgt_lang": target, "pause_ms": pause_ms, "vad_silence_ms": vad_silence_ms}
        await self._outgoing.update(changes)

    def __aiter__(self) -> Self:
        """Iterate over the events."""
        return self

    async def __anext__(self) -> Event:
        """Give the next event.

        :raises LinguaError: the session ended otherwise than by this side's wish.
        """
        event = await self._inbox.get()
        if event is None:
            raise StopAsyncIteration
        return event

    async def close(self) -> None:
        """End the session cleanly: finalize, wait (bounded) for what is owed, say goodbye. Events stay readable."""
        if self._closing:
            return
        self._closing = True
        await self._inbox.widen()
        with contextlib.suppress(LinguaError, TimeoutError):
            await self.finalize()
            await self._progress.until(lambda: self._ledger.settled, self._settings.close_timeout_s)
            await self._say_goodbye("done")
            await self._progress.until(lambda: False, _CLOSE_ACK_S)
        await self._shut()

    async def abandon(self) -> None:
        """End the session at once; what is owed is given up."""
        self._closing = True
        await self._inbox.widen()
        with contextlib.suppress(LinguaError):
            await self._say_goodbye("abandoned")
        await self._shut()

    async def _live(self) -> None:
        """Read to the end of the session, over as many connections as that takes."""
        try:
            while self._may_come_back(ending := await self._read(self._link)):
                await self._come_back(ending)
            await self._over(ending)
        except LinguaError as trouble:
            await self._over(trouble)
        except Exception as bug:
            fault = ProtocolError("UNEXPECTED", f"a message could not be handled: {type(bug).__name__}")
            fault.__cause__ = bug
            await self._over(fault)

    async def _read(self, link: Link) -> LinguaError:
        """Read one connection until it ends or another takes its place; the one task that acts on what comes.

        :returns: how it ended; code MOVED when the session goes on over another one.
        :raises LinguaError: what came cannot be read.
        """
        while True:
            received = await link.receive()
            async with self._turn:
                if link is not self._link:
                    return _MOVED
                if received is None:
                    return refusals.from_close(link.close_code, self._incoming.last_error)
                await self._take(received)

    def _may_come_back(self, ending: LinguaError) -> bool:
        if ending is _MOVED:
            return True
        able = self._recovery.ticket is not None and self._settings.resume_timeout_s > 0
        code = self._link.close_code
        replaced_by_us = code == CloseCode.REPLACED and self._recovery.uncertain
        return able and not self._goodbye and self._ended is None and (is_lost(code) or replaced_by_us)

    async def _come_back(self, ending: LinguaError) -> None:
        """Connect again after a loss.

        :raises LinguaError: that is not possible.
        """
        if ending is _MOVED:
            return
        lost_s = time.monotonic()
        self._outgoing.hold()
        await self._tell([Reconnecting(ending.code, ending.message)])
        self._tasks.append(asyncio.create_task(self._link.close()))
        async with self._turn:
            back = await self._recovery.connect(self._settings.resume_timeout_s)
            await self._go_on(back, lost_s)

    async def _move(self, told: wire.GoingAway) -> None:
        """Go on over another connection before this one is closed; the new one is open before the old one is left."""
        await asyncio.sleep(told.reconnect_after_ms / 1000)
        leaving, deadline_s = self._link, time.monotonic() + told.deadline_ms / 1000
        for attempt in range(1, 1_000):
            if self._link is not leaving or self._ended is not None or self._goodbye:
                return
            try:
                await self._move_to(await open_once(self._place, self._token), leaving)
            except LinguaError as trouble:
                wait_s = wait_before(trouble, attempt)
                if time.monotonic() + wait_s > deadline_s:
                    return  # the connection is closed soon, and the session comes back as after any loss
                await asyncio.sleep(wait_s)

    async def _move_to(self, link: Link, leaving: Link) -> None:
        async with self._turn:
            if self._link is not leaving:
                await link.close()
                return
            sample, began_s = self._outgoing.hold(), time.monotonic()
            try:
                back = await self._recovery.open(link)
            except LinguaError:
                if leaving.close_code == 0:
                    self._tasks.append(asyncio.create_task(self._send_again(leaving, sample)))
                raise
            await self._go_on(back, began_s)
        await leaving.close()

    async def _go_on(self, back: Return, lost_s: float) -> None:
        """Take up the session over its new connection."""
        lost_ms = back.lost_samples * 1000 / SAMPLE_RATE
        self._link = back.link
        self.session_id, self.instance_id = back.ack.session_id, back.ack.instance_id or ""
        self._incoming.last_error = None
        self._incoming.goes_on_at(back.index)
        self._ledger.goes_on_at(back.index, self._outgoing.answerable(back.sample))
        self._outgoing.received = back.sample
        self._tasks.append(asyncio.create_task(self._send_again(back.link, back.sample)))
        gap_ms = (time.monotonic() - lost_s) * 1000
        if back.fresh:
            await self._tell([Renewed(self.session_id, gap_ms, lost_ms, self.instance_id)])
        else:
            await self._tell([Resumed(gap_ms, lost_ms, self.instance_id)])
        self._seen.set()

    async def _send_again(self, link: Link, sample: int) -> None:
        with contextlib.suppress(LinguaError):
            await self._outgoing.go_on(link, self.session_id, sample)

    async def _acknowledge(self) -> None:
        """Tell the service which events are here, some together."""
        while True:
            await self._seen.wait()
            await asyncio.sleep(_TOGETHER_S)
            self._seen.clear()
            last_seq = self._incoming.position.last_seq
            if Extension.RESUME in self.extensions and last_seq:
                await self._outgoing.say(wire.EventAck(session_id=self.session_id, last_seq=last_seq))

    async def _take(self, received: Message | frames.Frame) -> None:
        if isinstance(received, wire.SessionCloseAck):
            await self._over(SessionEndedError("SESSION_CLOSED", "the session is closed", close_code=1000))
        elif isinstance(received, wire.UtteranceFailed):
            await self._tell(await self._on_failed(received))
        elif isinstance(received, frames.Frame):
            await self._tell(self._incoming.frame(received))
        else:
            await self._tell(self._incoming.message(received))
            if isinstance(received, wire.GoingAway) and self._recovery.ticket is not None:
                self._tasks.append(asyncio.create_task(self._move(received)))
        self._seen.set()

    async def _tell(self, told: list[Event]) -> None:
        self._progress.made()
        for event in told:
            if isinstance(event, Backpressure):
                self._outgoing.be_quiet(event.wait_ms)
            await self._inbox.put(event)

    async def _on_failed(self, failed: wire.UtteranceFailed) -> list[Event]:
        if not self._incoming.position.is_new(failed.seq):
            return []
        pcm = self._incoming.audio_of(failed)
        origin = self._incoming.origin(failed.utterance_index)
        if pcm is not None:
            await self._outgoing.again(failed, pcm, self._incoming.index_for_again(failed.utterance_index))
        self._incoming.failed(failed)
        if pcm is None and not self._ledger.ended(origin):
            return []
        return [Failed(origin, failed.code, failed.message or "", resent=pcm is not None)]

    async def _over(self, ending: LinguaError) -> None:
        if self._ended is not None:
            return
        self._ended = ending
        self._progress.end()
        if self._closing:
            await self._inbox.end(Closed(1000))
        else:
            await self._inbox.end(error=ending)

    async def _stream_and_finish(self, source: Source, pace: Pace | None) -> None:
        try:
            await self.stream(source, pace=pace)
            await self.finish()
        except Exception as trouble:
            await self._inbox.end(error=trouble)

    async def _end_when_settled(self) -> None:
        try:
            await self._progress.until(lambda: self._ledger.settled, self._settings.outcome_timeout_s)
        except TimeoutError:
            owed = f"{self._ledger.owed} utterances got neither a result nor a reason why not"
            await self._inbox.end(error=TranslationFailedError("NO_OUTCOME", owed))
        else:
            if self._ended is None:
                await self._inbox.end()

    async def _say_goodbye(self, reason: str) -> None:
        self._check_open()
        self._goodbye = True
        await self._link.send(wire.SessionClose(session_id=self.session_id, reason=reason))

    async def _shut(self) -> None:
        await self._link.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._inbox.end(Closed(self._link.close_code or 1000))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_s)
            with contextlib.suppress(LinguaError):
                now_ms = int(time.time() * 1000)
                await self._outgoing.say(wire.ClientHeartbeat(session_id=self.session_id, timestamp=now_ms))

    def _check_open(self) -> None:
        if self._ended is not None:
            raise self._ended


def _now_ms() -> float:
    return time.monotonic() * 1000
