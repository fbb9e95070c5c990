"""One client session: what it says becomes utterances, utterances become jobs, outcomes go back in order.

Everything here runs in the event loop without waiting, so there is no lock: the socket calls it with what the client
said, the dispatcher with what became of jobs, the timer with the time. Nobody else decides for a session.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, Final, Protocol

from lingua_scheduler.audio_bound import BufferFullError
from lingua_scheduler.clock import now_ms, unix_ms
from lingua_scheduler.sessions.announced import Announced
from lingua_scheduler.sessions.cuts import Cut, Finalized, Reason
from lingua_scheduler.sessions.ear import Ear, unpack_whole, wrong_rate
from lingua_scheduler.sessions.flow import READ_ON, Idle, IdleWatch
from lingua_scheduler.sessions.spoken import Sound
from lingua_scheduler.sessions.teller import BEGINNING, Line
from lingua_scheduler.sessions.utterances import Utterances
from lingua_wire import frames
from lingua_wire.audio import decode_base64
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.session_messages import (
    AudioChunk,
    ClientHeartbeat,
    EventAck,
    ServerHeartbeat,
    SessionClose,
    SessionInit,
    SessionUpdate,
    TtsPlayEnded,
    TtsStarted,
    UiEventName,
    Utterance,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_scheduler.scheduler import Scheduler
    from lingua_scheduler.sessions.resuming import Claim, Entry, Start
    from lingua_scheduler.sessions.teller import Teller
    from lingua_scheduler.sessions.terms import Terms
    from lingua_wire.fields import Message

log = logging.getLogger(__name__)

#: Whole utterances that are remembered, to know a repeat.
_REMEMBERED: Final = 256
#: A client counts its whole utterances itself; the numbers after its own must stay whole numbers for every reader.
_LAST_INDEX: Final = 2**52
#: A client is told at most so often that there is no room for its audio.
_FULL_AGAIN_MS: Final = 5_000


class SessionLine(Line, Protocol):
    """A session's connection."""

    def close(self, code: CloseCode) -> None:
        """Close it, after what waits was sent."""

    def settled(self) -> None:
        """Note that every utterance has its outcome."""


class Session:
    """One session, for as long as anybody may want its results: its ``line`` may be lost and another one come."""

    def __init__(
        self,
        scheduler: Scheduler,
        session_id: str,
        generation: int,
        terms: Terms,
        teller: Teller,
        start: Start = BEGINNING,
    ) -> None:
        now = now_ms()
        settings = scheduler.settings
        self.session_id = session_id
        self.generation = generation
        self.terms = terms
        self.teller = teller
        self.token_digest = ""
        #: The store does not know of this connection yet.
        self.unknown = False
        #: What the client missed, as far as only the store had it.
        self.missed: tuple[Entry, ...] = ()
        self.line: SessionLine | None = None
        self.opened_ms = now
        self._max_ms = round(settings.session.max_ms * random.uniform(0.9, 1.0))
        self._lost_ms: int | None = None
        self._leave_ms: int | None = None
        self._scheduler = scheduler
        self._settings = settings
        self.ear = Ear(terms, scheduler.audio, settings.session.audio_bytes, start.sample)
        self._next_terms = terms
        self.utterances = Utterances(scheduler, terms, self.ear, teller, self, start)
        self._idle = IdleWatch(now, settings.session.idle_warn_ms, settings.session.idle_close_ms)
        self._next_index = terms.profile.first_index(unix_ms()) if start.index is None else start.index
        self._whole: dict[int, int] = {}
        self._announced = Announced(settings.http.json_audio_bytes)
        self._full_told_ms = 0
        self._received_bytes = 0
        self._watched = False
        self._closing = False
        self._give_up_ms: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._arm()

    @property
    def unsettled(self) -> int:
        """Count the utterances whose outcome was not told yet."""
        return len(self.utterances)

    # The connection

    @property
    def lost(self) -> bool:
        """Tell whether it waits for its client to come back."""
        return self._lost_ms is not None

    @property
    def idle(self) -> bool:
        """Tell whether nothing is under way: no utterance, and nothing the client may not have."""
        journal = self.teller.journal
        return not self.utterances and not self.ear.cutter.buffered_bytes and not (journal and len(journal))

    @property
    def received_samples(self) -> int:
        """Count the samples taken since the session began."""
        return self.ear.cutter.received_samples

    @property
    def next_index(self) -> int:
        """Give the index of the next utterance that is cut."""
        return self._next_index

    def begin(self, line: SessionLine) -> None:
        """Speak over its first connection here."""
        self.line = line
        self.teller.connect(line)
        self._arm()

    def replay(self, last_seq: int) -> None:
        """Tell a client that came back what it missed."""
        missed, self.missed = self.missed, ()
        self.teller.replay(last_seq)
        self.teller.tell_again(missed)

    def lose(self) -> None:
        """Go on without a connection: what is under way goes on, what was being spoken is kept."""
        self.line = None
        self.teller.disconnect()
        self._lost_ms = now_ms()
        self._arm()

    def take_up(self, line: SessionLine, claim: Claim) -> bool:
        """Go on over a new connection; False: what its client has missed is not here any more.

        The connection greets its client, then has the rest told (:meth:`Teller.replay`).
        """
        journal = self.teller.journal
        if self._closing or journal is None or journal.after(claim.last_seq) is None:
            return False
        now, older = now_ms(), self.line
        self.teller.disconnect()
        self._follow(self.ear.cutter.go_on(now, claim.held_sample or 0))
        self.teller.connect(line)
        self.line, self._lost_ms = line, None
        self.opened_ms, self._leave_ms = now, None
        self._idle.heard(now)
        self.expect_again()
        self._arm()
        if older is not None:
            older.close(CloseCode.REPLACED)
        return True

    def stop(self) -> None:
        """Take nothing more, and let nobody know: the session goes on elsewhere, but for what is still owed."""
        self.line, self._closing, self._give_up_ms = None, True, None
        self.teller.disconnect()
        self.teller.recorder = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fenced(self) -> None:
        """Find out who holds it: the store says that somebody else does."""
        self._scheduler.sessions.check(self)

    def expect_again(self) -> None:
        """Let the client send again at once what it said while there was no connection."""
        self.ear.expect_again(self._settings.session.resume_ms, now_ms())

    def end(self, code: CloseCode) -> None:
        """End the connection, or the wait for one."""
        if self.line is not None:
            self.line.close(code)
        else:
            self._scheduler.sessions.forget(self)

    # What the client says. Each returns for how many milliseconds the socket is not to be read.

    def take(self, message: Message) -> int:
        """Take a message.

        :raises WireError: what is wrong with it; with a close code when the session can't go on.
        """
        session_id = getattr(message, "session_id", self.session_id)
        if session_id != self.session_id and not isinstance(message, SessionInit):
            raise WireError(ErrorCode.INVALID_SESSION, "session_id: this connection has another session")
        if isinstance(message, AudioChunk):
            return self._take_chunk(message)
        handler = _HANDLERS.get(type(message))
        if handler is None:
            raise WireError(ErrorCode.UNSUPPORTED_FEATURE, f"{message.type} is not supported yet")
        handler(self, message)
        return self._pace(0, now_ms())

    def take_frame(self, data: bytes) -> int:
        """Take a binary frame.

        :raises WireError: as :meth:`take`.
        """
        if not self.terms.profile.binary_audio:
            raise WireError(
                ErrorCode.INVALID_MESSAGE, "binary frames were not agreed on", close=CloseCode.WRONG_FRAME_KIND
            )
        frame = frames.unpack(data)
        if frame.kind is frames.Kind.CLIENT_AUDIO:
            return self._take_audio(frame.seq, frame.audio, final=frame.last, client_id=None)
        if frame.kind is frames.Kind.CLIENT_UTTERANCE:
            self._idle.heard(now_ms())
            whole = self._announced.take(frame)
            if whole is not None:
                self._take_whole(*whole)
            return self._pace(0, now_ms())
        raise WireError(
            ErrorCode.INVALID_MESSAGE, "a client sends frames of audio only", close=CloseCode.WRONG_FRAME_KIND
        )

    def refused(self) -> int:
        """Count a message that was refused, so that bad ones come no faster than good ones.

        :raises WireError: as :meth:`take`.
        """
        return self._pace(0, now_ms())

    def _take_chunk(self, chunk: AudioChunk) -> int:
        payload = decode_base64(chunk.payload) if chunk.payload else b""
        return self._take_audio(chunk.seq, payload, final=chunk.is_final, client_id=chunk.client_utterance_id)

    def _take_audio(self, seq: int, payload: bytes | memoryview, *, final: bool, client_id: str | None) -> int:
        now = now_ms()
        self._idle.heard(now)
        before = self.ear.cutter.received_samples
        speaking = self.ear.cutter.speaking
        try:
            cuts = self.ear.chunk(seq, payload, now, final=final, client_id=client_id)
        except WireError as error:
            self._pace(0, now)
            self._refuse_audio(error, now)
            cuts = ()
        samples = self.ear.cutter.received_samples - before
        if cuts:
            self._follow(cuts)
        if not speaking and self.ear.cutter.speaking:
            self.utterances.begin_input(self._next_index, self.terms.trace_id)
        self._received_bytes += len(payload)
        if samples and (rate := self.ear.suspect_rate(samples, now)) is not None:
            self._scheduler.metrics.throttled.of("format_suspect").inc()
            raise wrong_rate(rate, self.terms.sample_rate)
        if cuts or final or not self._watched:
            self._look(now)
        return self._pace(samples, now)

    def _look(self, now: int) -> None:
        """Do what is not done for each frame: metrics, receipts, the timer. The timer looks too, and soon enough."""
        self._scheduler.count_audio(self._received_bytes)
        self._received_bytes = 0
        self.utterances.acknowledge(now)
        self._arm()

    def _refuse_audio(self, error: WireError, now: int) -> None:
        """Tell of audio that could not be taken; of a full buffer only now and then.

        :raises WireError: the error itself, when it is the client's own.
        """
        if not isinstance(error, BufferFullError):
            raise error
        self._scheduler.metrics.audio_refused.of(error.scope).inc()
        if now - self._full_told_ms >= _FULL_AGAIN_MS or not self._full_told_ms:
            self._full_told_ms = now
            raise error

    def _pace(self, samples: int, now: int) -> int:
        verdict = self.ear.pace(samples, now)
        if verdict is READ_ON:
            return 0
        metrics = self._scheduler.metrics
        metrics.throttled.of("pause").inc()
        if verdict.close is not None:
            metrics.throttled.of("close").inc()
            raise WireError(ErrorCode.RATE_LIMITED, "audio came faster than allowed for too long", close=verdict.close)
        if verdict.warn:
            metrics.throttled.of("backpressure").inc()
            self.teller.slow_down(verdict, self.terms.profile.flow.rate)
        return verdict.pause_ms

    def _take_utterance(self, message: Utterance) -> None:
        self._idle.heard(now_ms())
        if message.audio_follows and message.audio is None:
            self._announced.add(message)
            return
        if message.audio is None:
            raise WireError(ErrorCode.INVALID_MESSAGE, "utterance.audio: is missing")
        self._take_whole(message, decode_base64(message.audio))

    def _take_whole(self, message: Utterance, audio: bytes) -> None:
        index, proof = message.utterance_index, hash(audio)
        known = self._whole.get(index)
        if known == proof:
            return
        if known is not None or index in self.utterances:
            raise WireError(ErrorCode.DUPLICATE_UTTERANCE_INDEX, "utterance_index: was used for other audio")
        if index > _LAST_INDEX:
            raise WireError(ErrorCode.INVALID_MESSAGE, f"utterance_index: should be {_LAST_INDEX} at most")
        terms = self.terms.of_utterance(message)
        whole = unpack_whole(audio, message.audio_format, message.sample_rate)
        # What was streamed before is an utterance of its own with another index, and comes first.
        self._next_index = max(self._next_index, index + 1)
        self._follow(self.ear.cutter.close(Reason.IS_FINAL))
        cuts = self.ear.whole(
            whole,
            manual=message.manual_cut,
            min_speech_ms=self._settings.cut.min_speech_ms,
            client_id=message.client_utterance_id,
        )
        self._whole[index] = proof
        if len(self._whole) > _REMEMBERED:
            del self._whole[next(iter(self._whole))]
        self._scheduler.count_audio(len(audio))
        for cut in cuts:
            if isinstance(cut, Finalized):
                self.utterances.finalize(cut, terms, index, Sound(whole.audio_format, whole.sample_rate))
            else:
                self.utterances.skip_whole(cut, terms, index)
        self._arm()

    def _heartbeat(self, message: ClientHeartbeat) -> None:
        del message
        self._idle.heard(now_ms())
        self.teller.send(ServerHeartbeat.model_construct(session_id=self.session_id, timestamp=unix_ms()))

    def _event_ack(self, message: EventAck) -> None:
        self.teller.acked(message.last_seq)

    def _update(self, message: SessionUpdate) -> None:
        """Change what applies from the next utterance on. A node keeps a turn by its languages, so the turn ends."""
        self._next_terms = self._next_terms.updated(message)
        cutter = self.ear.cutter
        cutter.change_rules(self._next_terms.rules)
        if cutter.turns.open:
            cutter.turns.end_with_next()
        elif not cutter.buffered_bytes:
            self._adopt_terms()

    def _adopt_terms(self) -> None:
        if self._next_terms is not self.terms:
            self.terms = self._next_terms
            pair = self.terms.languages.pair
            self._scheduler.sessions.languages_changed(self, pair.source, pair.target)

    def _tts_started(self, message: TtsStarted) -> None:
        self.teller.ui_of(message.group_id, 0, UiEventName.TTS_PLAY_STARTED, message.trace_id)

    def _tts_ended(self, message: TtsPlayEnded) -> None:
        self.teller.ui_of(message.group_id, 0, UiEventName.TTS_PLAY_ENDED, message.trace_id)

    def _init_again(self, message: SessionInit) -> None:
        del message
        raise WireError(ErrorCode.OUT_OF_STATE, "session_init: this connection has a session")

    def _close_asked(self, message: SessionClose) -> None:
        del message
        self.finish(Reason.CLOSE)

    # Utterances

    def _follow(self, cuts: tuple[Cut, ...]) -> None:
        """Act on what the cutter said, oldest first."""
        for cut in cuts:
            if isinstance(cut, Finalized):
                index, self._next_index = self._next_index, self._next_index + 1
                sound = Sound(self.ear.audio_format, self.ear.sample_rate)
                self.utterances.finalize(cut, self.terms, index, sound)
            else:
                self.utterances.skip(cut)
            if not self.ear.cutter.turns.open:
                self._adopt_terms()

    def on_outcome(self) -> None:
        """Look what is left to do: an outcome was told."""
        self._arm()
        if self.utterances:
            return
        if self.line is not None:
            self.line.settled()
        elif self._closing:
            self._scheduler.sessions.forget(self)

    # Time

    def _arm(self) -> None:
        """Keep one timer: it is moved forward only; one that fires too early just looks again.

        Once it watches over collected audio, later chunks need not move it.
        """
        self._watched = self.ear.cutter.buffered_bytes > 0
        due = self._due_ms()
        if due is None or (self._timer is not None and self._timer_ms <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0, due - now_ms()) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)
        self._timer_ms = due

    def _due_ms(self) -> int | None:
        if self._closing:
            return self._give_up_ms
        if self._lost_ms is not None:
            return min([self._lost_ms + self._settings.session.resume_ms, *self.utterances.dues_ms(listening=False)])
        dues = [self.opened_ms + self._max_ms - self._warning_ms if self._leave_ms is None else self._leave_ms]
        if (due := self.ear.cutter.next_due_ms) is not None:
            dues.append(due)
        dues += self.utterances.dues_ms(listening=self._watched)
        if self.terms.profile.idle_closed:
            dues.append(self._idle.next_due_ms)
        return min(dues)

    def _on_timer(self) -> None:
        self._timer = None
        now = now_ms()
        try:
            if self._closing and self._give_up_ms is not None and now >= self._give_up_ms:
                self.utterances.end_all()
            elif self._lost_ms is not None and not self._closing:
                self._wait_for_client(now - self._lost_ms)
            elif not self._closing:
                self._follow(self.ear.cutter.tick(now))
                self._watch(now)
            self._look(now)
            self.utterances.release(now)
        except Exception:
            log.exception("a session's timer failed", extra={"session_id": self.session_id})
            self.end(CloseCode.INTERNAL)

    def _watch(self, now: int) -> None:
        """Look at silence and age."""
        if self.terms.profile.idle_closed:
            idle = self._idle.check(now)
            if idle is Idle.WARN:
                self.teller.error(ErrorCode.IDLE_TIMEOUT, "neither audio nor heartbeat came for a while")
            elif idle is Idle.CLOSE:
                self.teller.error(ErrorCode.IDLE_TIMEOUT, "neither audio nor heartbeat came")
                self.end(CloseCode.IDLE)
        if self._leave_ms is not None and now >= self._leave_ms:
            self.leave(CloseCode.GOING_AWAY, Reason.CLOSE)
        elif self._leave_ms is None and now - self.opened_ms >= self._max_ms - self._warning_ms:
            self._leave_ms = now + self._warning_ms
            self.teller.going_away("max_session", self._warning_ms, self._scheduler.sessions.any_moment_ms(1))

    def _wait_for_client(self, waited_ms: int) -> None:
        """Give a client up that did not come back: what it had said is still translated, for the record."""
        if waited_ms >= self._settings.session.resume_ms:
            self.finish(Reason.CLOSE)

    @property
    def _warning_ms(self) -> int:
        return min(self._settings.session.going_away_ms, self._max_ms // 2)

    # The end

    @property
    def may_move(self) -> bool:
        """Tell whether its client can be asked to connect again, and was not yet."""
        asked = self._leave_ms is not None or self._closing
        return self.terms.profile.resume and self.line is not None and not asked

    def go_by(self, deadline_ms: int) -> None:
        """Let its connection end ``deadline_ms`` from now at the latest: its client was asked to connect again."""
        self._leave_ms = now_ms() + deadline_ms
        self._arm()

    def leave(self, code: CloseCode, reason: Reason) -> None:
        """End the connection as planned: who can, resumes elsewhere; all others get first what they are owed."""
        if self.terms.profile.resume and not self._closing:
            self.end(code)
        else:
            self.finish(reason)

    def finish(self, reason: Reason) -> None:
        """Take no more audio; what was spoken is still translated, and the line learns when all is told."""
        if not self._closing:
            now = now_ms()
            self._follow(self.ear.cutter.close(reason))
            self._closing = True
            self._give_up_ms = now + self._settings.session.close_ms
            self.utterances.release(now)

    @property
    def finishing(self) -> bool:
        """Tell whether no more audio is taken."""
        return self._closing

    def drop(self) -> None:
        """End at once: nobody listens any more. Jobs are cancelled, audio is let go. Safe to repeat."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.utterances.drop_all()


_HANDLERS: Final[dict[type, Callable[[Session, Any], None]]] = {
    Utterance: Session._take_utterance,
    ClientHeartbeat: Session._heartbeat,
    EventAck: Session._event_ack,
    SessionUpdate: Session._update,
    SessionClose: Session._close_asked,
    SessionInit: Session._init_again,
    TtsStarted: Session._tts_started,
    TtsPlayEnded: Session._tts_ended,
}
