"""The cutter: it keeps the audio of the utterance being spoken and says when that ends, and why (docs/protocol.md).

Pure: time comes in as ``now_ms`` (monotonic), outcomes go out as values, and what depends on the length of speech is
decided by counting samples. Each sample taken comes out once, in order, in a :class:`Finalized` or a :class:`Skipped`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from lingua_scheduler.sessions.cuts import Cut, CutRules, Finalized, Reason, Skipped, SkipReason
from lingua_scheduler.sessions.turns import Turns
from lingua_wire.audio import ms_of_samples, samples_of_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingua_scheduler.sessions.voice import Heard, Payload, VoiceDetector

#: A minute of the shortest chunks. Each costs far more memory than the few bytes that it may hold.
_MAX_CHUNKS: Final = 6_000
_SPEECH_GOES_ON: Final = frozenset({Reason.MAX_DURATION, Reason.MAX_LENGTH})


class _Chunk(NamedTuple):
    position: int
    payload: Payload
    samples: int
    speech: int


class _Ending(NamedTuple):
    """A finalize that was asked for: it waits for late audio or, when ``held``, for a next piece to join."""

    due_ms: int
    client_id: str | None
    held: bool = False
    #: How many chunks are certainly of this utterance: those that came before the final.
    before: int = 0


class Cutter:
    """Cut one session's stream into utterances.

    Methods return the outcomes they caused, oldest first; mostly none. Call :meth:`tick` at :attr:`next_due_ms`.
    """

    __slots__ = (
        "_buffered_bytes",
        "_chunks",
        "_detector",
        "_ending",
        "_last_audio_ms",
        "_next_rules",
        "_rules",
        "_samples",
        "_silence",
        "_speech",
        "_start_sample",
        "turns",
    )

    def __init__(
        self, rules: CutRules, detector: VoiceDetector, turns: Turns | None = None, start_sample: int = 0
    ) -> None:
        self.turns = turns or Turns()
        self._rules = self._next_rules = rules
        self._detector = detector
        self._chunks: list[_Chunk] = []
        self._buffered_bytes = self._samples = self._speech = self._silence = 0
        self._start_sample = start_sample
        self._last_audio_ms = 0
        self._ending: _Ending | None = None

    @property
    def buffered_bytes(self) -> int:
        """Count the bytes held: for the bounds of session and instance."""
        return self._buffered_bytes

    @property
    def received_samples(self) -> int:
        """Count the samples taken since the session began: the end of the stream so far."""
        return self._start_sample + self._samples

    @property
    def start_sample(self) -> int:
        """Give the first sample of what is collected now: all before it was cut or left out."""
        return self._start_sample

    @property
    def speaking(self) -> bool:
        """Tell whether the utterance being collected has speech in it."""
        return self._speech > 0

    @property
    def next_due_ms(self) -> int | None:
        """Tell when :meth:`tick` has something to do if no audio comes before; None: nothing waits."""
        if self._ending:
            return self._ending.due_ms
        if not self._chunks or not self._rules.pause_ms:
            return None
        return self._last_audio_ms + self._rules.pause_ms + self._rules.stabilise_auto_ms

    def hear_with(self, detector: VoiceDetector) -> None:
        """Change the detector, when the first audio shows another format than was said.

        :raises ValueError: audio of the format before is still held.
        """
        if self._chunks:
            raise ValueError("the format can't change within an utterance")
        self._detector = detector

    def change_rules(self, rules: CutRules) -> None:
        """Use other rules from the next turn on (at once when nothing is held)."""
        self._next_rules = rules
        self._adopt_rules()

    def append(self, payload: Payload, now_ms: int, position: int | None = None) -> tuple[Cut, ...]:
        """Take a chunk. It is kept as it is, not copied: the caller must not change it.

        A ``position`` (:class:`SeqWindow`) lower than one already held puts the chunk in its place.

        :raises WireError: ``UNSUPPORTED_FORMAT`` when it is not audio of the session's format; nothing changed then.
        """
        heard = self._hear(payload)
        cuts = self._settle(now_ms)
        if not heard.samples:
            return cuts
        cuts += self._end_before_next(heard.samples, now_ms)
        cuts += self._make_room(heard.samples, len(payload))
        self._store(payload, heard, position)
        self._last_audio_ms = now_ms
        return cuts + self._listen()

    def _hear(self, payload: Payload) -> Heard:
        """Judge a chunk, unless its judgement can't matter: silence ends nothing, and there is speech enough."""
        if self._rules.vad_silence_ms or self._ending or not self._enough_speech():
            return self._detector.hear(payload)
        return self._detector.pass_over(payload)

    def finish(self, now_ms: int, client_id: str | None = None) -> tuple[Cut, ...]:
        """Take the client's final. A second one in a row is skipped."""
        cuts = self._settle(now_ms)
        if self._ending or not self._chunks:
            return (*cuts, self._report(SkipReason.EMPTY, client_id))
        wait_ms = self._rules.stabilise_manual_ms
        if wait_ms:
            self._ending = _Ending(now_ms + wait_ms, client_id, before=len(self._chunks))
            return cuts
        return cuts + self._end_or_hold(now_ms, client_id)

    def whole(
        self, payload: Payload, heard: Heard, *, manual: bool = True, client_id: str | None = None
    ) -> tuple[Cut, ...]:
        """Take an utterance that the client cut itself: nothing is waited for, padded or joined.

        It is whole, so its job always says that the turn ends: nodes keep audio back until they are told so.
        What was streamed before ends first. ``heard`` is in samples of the session's rate (:func:`voice.hear_whole`).
        """
        cuts = self.close(Reason.IS_FINAL)
        self._store(payload, heard, None)
        if not heard.samples:
            self._clear()
            return (*cuts, self._report(SkipReason.EMPTY, client_id))
        if not self._enough_speech():
            return (*cuts, self._skip(quiet=False, client_id=client_id))
        return (*cuts, self._cut(Reason.IS_FINAL, client_id, padding_ms=0, manual=manual, timeout=not manual))

    def tick(self, now_ms: int) -> tuple[Cut, ...]:
        """Do what is due by the clock: the end of a wait, or of a pause without any audio.

        Only this method acts on a pause: audio in hand beats the timer, so a stalled process cuts nobody's word.
        """
        due_ms = self.next_due_ms
        if due_ms is None or now_ms < due_ms:
            return ()
        return self._settle(now_ms) if self._ending else self._end(Reason.TIMEOUT)

    def go_on(self, now_ms: int, sample: int) -> tuple[Cut, ...]:
        """Listen again after a while without a connection, which is no pause; ``sample`` comes next.

        Samples that will never come end what is held.
        """
        self._last_audio_ms = now_ms
        if sample <= self.received_samples:
            return ()
        cuts = self.close(Reason.CLOSE)
        self._start_sample = sample
        return cuts

    def close(self, reason: Reason) -> tuple[Cut, ...]:
        """End what is held, at once: the session ends, or is drained."""
        ending, self._ending = self._ending, None
        if not self._chunks:
            return ()
        if ending:
            return self._end(Reason.IS_FINAL, ending.client_id)
        return self._end(reason)

    def _settle(self, now_ms: int) -> tuple[Cut, ...]:
        """End a wait that is over, before anything later is looked at."""
        ending = self._ending
        if ending is None or now_ms < ending.due_ms:
            return ()
        self._ending = None
        if not ending.held:
            return self._end_or_hold(ending.due_ms, ending.client_id)
        speaks_on = self._silence == 0 and ending.due_ms - self._last_audio_ms <= self._rules.lead_ms
        if speaks_on:
            return (self._report(SkipReason.TOO_SHORT, ending.client_id),)
        return self._end(Reason.IS_FINAL, ending.client_id)

    def _end_before_next(self, samples: int, now_ms: int) -> tuple[Cut, ...]:
        """End a wait for late audio when more comes than can be late: that is the next utterance, sent fast."""
        ending = self._ending
        if ending is None or ending.held:
            return ()
        late = self._chunks[ending.before :]
        if sum(chunk.samples for chunk in late) + samples <= self._samples_of(self._rules.late_ms):
            return ()
        self._ending = None
        self._count(late, -1)
        del self._chunks[ending.before :]
        cuts = self._end_or_hold(now_ms, ending.client_id)
        self._count(late, 1)
        self._chunks += late
        return cuts

    def _make_room(self, samples: int, size: int) -> tuple[Cut, ...]:
        """Cut before a piece grows too long, so that a continued turn always has audio to end with."""
        if not self._chunks:
            return ()
        if self._samples + samples > self._samples_of(self._rules.max_duration_ms):
            return self._cut_long(Reason.MAX_DURATION)
        if self._buffered_bytes + size > self._rules.max_buffer_bytes:
            return self._cut_long(Reason.MAX_LENGTH)
        if len(self._chunks) >= _MAX_CHUNKS:
            return self._cut_long(Reason.MAX_LENGTH, keep_ms=0)
        return ()

    def _cut_long(self, reason: Reason, keep_ms: int | None = None) -> tuple[Cut, ...]:
        if self._ending:
            return self.close(reason)
        if self._enough_speech():
            return (self._cut(reason),)
        if self.turns.open:
            return (self._cut(Reason.SILENCE),)
        return self._trim(self._rules.join_window_ms if keep_ms is None else keep_ms)

    def _listen(self) -> tuple[Cut, ...]:
        """Act on what the detector heard: the end of speech, its return, or nothing but silence."""
        if self._ending:
            return self._joined() if self._ending.held else ()
        if self._silence_ends_it():
            return (self._cut(Reason.SILENCE),)
        window_ms, lead_ms = self._rules.join_window_ms, self._rules.lead_ms
        if self.turns.open or self._enough_speech() or self._silence < self._samples_of(window_ms):
            return ()
        return self._trim(lead_ms) if self._samples > self._samples_of(window_ms + lead_ms) else ()

    def _silence_ends_it(self) -> bool:
        limit_ms = self._rules.vad_silence_ms
        if not limit_ms or self._silence < self._samples_of(limit_ms):
            return False
        return self.turns.open or (self._speech > 0 and self._enough_speech())

    def _joined(self) -> tuple[Cut, ...]:
        """Let a held piece go on as part of the next one, once both together are worth a job."""
        if self._is_short() or not self._enough_speech() or self._ending is None:
            return ()
        client_id, self._ending = self._ending.client_id, None
        return (self._report(SkipReason.TOO_SHORT, client_id),)

    def _end_or_hold(self, now_ms: int, client_id: str | None) -> tuple[Cut, ...]:
        """End as the client asked, unless the piece is short and may join the next one."""
        worth_holding = self._speech > 0 and (self._is_short() or not self._enough_speech())
        if self.turns.open or not worth_holding or not self._rules.join_window_ms:
            return self._end(Reason.IS_FINAL, client_id)
        self._ending = _Ending(now_ms + self._rules.join_window_ms, client_id, held=True)
        return ()

    def _end(self, reason: Reason, client_id: str | None = None) -> tuple[Cut, ...]:
        """Cut, or skip what is no speech. The last piece of a turn is never skipped: the node waits for it."""
        if self.turns.open or self._enough_speech():
            return (self._cut(reason, client_id),)
        quiet = self._speech == 0 and reason is not Reason.IS_FINAL
        return (self._skip(quiet=quiet, client_id=client_id),)

    def _cut(
        self,
        reason: Reason,
        client_id: str | None = None,
        *,
        padding_ms: int | None = None,
        manual: bool | None = None,
        timeout: bool | None = None,
    ) -> Finalized:
        continues = self.turns.continues(speech_goes_on=reason in _SPEECH_GOES_ON)
        asked = reason is Reason.IS_FINAL
        padding_default_ms = self._rules.padding_manual_ms if asked else self._rules.padding_auto_ms
        cut = Finalized(
            audio=self._join(),
            reason=reason,
            turn_id=self.turns.piece(continues=continues),
            start_sample=self._start_sample,
            end_sample=self.received_samples,
            speech_ms=ms_of_samples(self._speech, self._detector.sample_rate),
            padding_ms=padding_default_ms if padding_ms is None else padding_ms,
            manual=asked if manual is None else manual,
            timeout=not asked and not continues if timeout is None else timeout,
            continues=continues,
            client_id=client_id,
            sample_rate=self._detector.sample_rate,
        )
        self._clear()
        return cut

    def _skip(self, *, quiet: bool, client_id: str | None) -> Skipped:
        reason = SkipReason.TOO_SHORT if self._speech else SkipReason.NO_SPEECH
        skipped = Skipped(reason, self._start_sample, self.received_samples, quiet, client_id)
        self._clear()
        return skipped

    def _report(self, reason: SkipReason, client_id: str | None) -> Skipped:
        """Answer a finalize that cut nothing: its range is empty, and before what is still held."""
        return Skipped(reason, self._start_sample, self._start_sample, quiet=False, client_id=client_id)

    def _trim(self, keep_ms: int) -> tuple[Cut, ...]:
        """Drop what came before the last ``keep_ms``: silence, or too little speech with a long silence after it."""
        keep, dropped, speech = self._samples_of(keep_ms), 0, 0
        count = 0
        for chunk in self._chunks:
            if self._samples - dropped - chunk.samples < keep:
                break
            dropped += chunk.samples
            speech += chunk.speech
            self._buffered_bytes -= len(chunk.payload)
            count += 1
        if not count:
            return ()
        start, self._start_sample = self._start_sample, self._start_sample + dropped
        del self._chunks[:count]
        self._samples -= dropped
        self._speech -= speech
        reason = SkipReason.TOO_SHORT if speech else SkipReason.NO_SPEECH
        return (Skipped(reason, start, self._start_sample, quiet=True),)

    def _store(self, payload: Payload, heard: Heard, position: int | None) -> None:
        last = self._chunks[-1].position if self._chunks else -1
        chunk = _Chunk(last if position is None else position, payload, heard.samples, heard.speech)
        at = len(self._chunks)
        while at and self._chunks[at - 1].position > chunk.position:
            at -= 1
        if self._ending and at < self._ending.before:
            self._ending = self._ending._replace(before=self._ending.before + 1)
        self._chunks.insert(at, chunk)
        self._count((chunk,), 1)
        self._silence = heard.silence

    def _count(self, chunks: Iterable[_Chunk], sign: int) -> None:
        for chunk in chunks:
            self._buffered_bytes += sign * len(chunk.payload)
            self._samples += sign * chunk.samples
            self._speech += sign * chunk.speech

    def _join(self) -> bytes:
        return b"".join(chunk.payload for chunk in self._chunks)

    def _clear(self) -> None:
        self._start_sample += self._samples
        self._chunks = []
        self._buffered_bytes = self._samples = self._speech = 0
        self._adopt_rules()

    def _adopt_rules(self) -> None:
        if not self._chunks and not self.turns.open:
            self._rules = self._next_rules

    def _is_short(self) -> bool:
        return self._samples < self._samples_of(self._rules.short_piece_ms)

    def _enough_speech(self) -> bool:
        return self._speech >= self._samples_of(self._rules.min_speech_ms)

    def _samples_of(self, ms: int) -> int:
        return samples_of_ms(ms, self._detector.sample_rate)
