"""The utterances of one session from their cut to their outcome: jobs begun, receipts kept, outcomes told in order."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from lingua_scheduler.clock import now_ms
from lingua_scheduler.sessions.handover import Carried, Settled
from lingua_scheduler.sessions.order import Missing, ReleaseOrder
from lingua_scheduler.sessions.plan import Place, plan
from lingua_scheduler.sessions.receipts import Receipts
from lingua_scheduler.sessions.resuming import Mark
from lingua_scheduler.sessions.spoken import Pending, Sound, Spoken, spoken_of
from lingua_scheduler.sessions.spoken_job import SpokenJob
from lingua_scheduler.verdicts import has_text, is_quiet
from lingua_scheduler.work import Done, Failed
from lingua_state.ids import new_job_id
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.session_messages import MissingReason, UiEventName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lingua_scheduler.scheduler import Scheduler
    from lingua_scheduler.sessions.cuts import Finalized, Skipped
    from lingua_scheduler.sessions.ear import Ear
    from lingua_scheduler.sessions.handover import Handed, UnderWay
    from lingua_scheduler.sessions.resuming import Start
    from lingua_scheduler.sessions.teller import Teller
    from lingua_scheduler.sessions.terms import Terms
    from lingua_scheduler.work import Outcome
    from lingua_wire.node_messages import NodeAsrPartial

log = logging.getLogger(__name__)

#: How often receipts are due while audio comes.
RECEIPT_MS: Final = 1_000
#: How soon an utterance is tried again while the store is away, or says that the session is held elsewhere: time for
#: whoever that is to ask for it. And how often the client is told of a store that is away.
_STORE_RETRY_S: Final = 1.5
_STORE_AGAIN_MS: Final = 30_000


_NO_JOB: Final = Failed(ErrorCode.WS_DISCONNECTED, "its session went on elsewhere", audio_lost=True)


class Holder(Protocol):
    """The session of the utterances."""

    @property
    def generation(self) -> int:
        """Tell in which generation it is held here."""

    def on_outcome(self) -> None:
        """Note that an outcome was told."""

    def fenced(self) -> None:
        """Find out who holds it: the store says that somebody else does."""


class Utterances:
    """Those of a session that have no outcome yet."""

    def __init__(
        self,
        scheduler: Scheduler,
        terms: Terms,
        ear: Ear,
        teller: Teller,
        holder: Holder,
        start: Start,
    ) -> None:
        self._scheduler = scheduler
        self._settings = scheduler.settings
        self._ear = ear
        self._teller = teller
        self._holder = holder
        self._warned = terms.profile.warned
        self._order: ReleaseOrder[tuple[Spoken, Outcome]] = ReleaseOrder()
        counted = terms.profile.audio_ack or terms.profile.resume
        self._receipts = Receipts(terms.sample_rate, start=start.mark.sample) if counted else None
        self._acked = terms.profile.audio_ack
        self._resumable = terms.profile.resume
        self._store_told_ms = -_STORE_AGAIN_MS
        self._told_index = start.mark.index
        self._forward: Callable[[Settled], None] | None = None
        teller.mark = self.mark
        self._open: dict[int, Spoken] = {}
        self._parts: tuple[str, int] = ("", 0)
        self._next_job_id: str | None = None

    @property
    def generation(self) -> int:
        """Tell in which generation the session is held here."""
        return self._holder.generation

    def __len__(self) -> int:
        """Count the utterances without an outcome, and those whose outcome waits for an earlier one."""
        return len(self._order)

    def __contains__(self, index: object) -> bool:
        """Tell whether an index was used lately."""
        return isinstance(index, int) and self._order.knows(index)

    def dues_ms(self, *, listening: bool) -> list[int]:
        """List when something is due: a hole to give up, a receipt to send (each interval while ``listening``)."""
        dues = [due] if (due := self._order.next_due_ms) is not None else []
        if self._receipts is not None and self._acked:
            due = self._receipts.next_due_ms
            if due is not None or listening:
                dues.append(now_ms() + RECEIPT_MS if due is None else due)
        return dues

    def mark(self) -> Mark:
        """Tell how far outcomes reach."""
        return Mark(self._receipts.receipt().consumed if self._receipts else 0, self._told_index)

    # From the cutter

    def begin_input(self, index: int, trace_id: str) -> None:
        """Tell that speech began; the job it may become has its name already."""
        self._next_job_id = self._next_job_id or new_job_id(self._scheduler.store.cell)
        self._teller.ui_of(self._next_job_id, index, UiEventName.INPUT_STARTED, trace_id)

    def finalize(self, cut: Finalized, terms: Terms, index: int, sound: Sound) -> None:
        """Make a job of an utterance."""
        now = now_ms()
        spoken = self._spoken(cut, terms, index, now)
        self._scheduler.metrics.finalized.of(cut.reason).inc()
        self._open[index] = spoken
        self._order.expect(index, now + self._settings.job.order_ms)
        if self._receipts:
            self._receipts.opened(index, cut.start_sample, cut.end_sample, cut.turn_id)
        self._teller.finalized(spoken, cut)
        if len(self._open) > self._settings.session.jobs:
            self.job_ended(spoken, Failed(ErrorCode.QUEUE_FULL, "the session has too many unfinished utterances"))
            return
        spoken.pending = Pending(cut, sound)
        self._start(spoken)

    def _start(self, spoken: Spoken) -> None:
        if spoken.pending is None:
            return
        cut, sound = spoken.pending
        try:
            work = plan(cut, spoken.terms, self._place(spoken, cut, sound), self._settings.job)
            spoken.job = self._scheduler.dispatcher.start(work, SpokenJob(self, spoken, self._teller))
        except WireError as error:
            self.job_ended(spoken, Failed(error.code, error.message))

    def skip(self, cut: Skipped) -> None:
        """Note audio, or a finalize, that makes no job."""
        self._settle_held()
        self._scheduler.metrics.skipped.of(cut.reason).inc()
        if self._receipts:
            self._receipts.skipped(cut.end_sample)
        self._teller.skipped(cut)
        self.acknowledge(now_ms())

    def skip_whole(self, cut: Skipped, terms: Terms, index: int) -> None:
        """Skip a whole utterance: the client chose its index, so it is told that no result comes."""
        self.skip(cut)
        job_id = new_job_id(self._scheduler.store.cell)
        spoken = Spoken(index, terms, job_id, "", 0, 0, 0, 0, now_ms(), cut.client_id)
        self._told_index = max(self._told_index, index + 1)
        self._teller.missing(spoken, MissingReason.SILENCE_DETECTED)

    def acknowledge(self, now: int) -> None:
        """Send a receipt, if one is due."""
        if self._receipts is not None:
            self._receipts.received(self._ear.cutter.received_samples)
            receipt = self._receipts.due(now) if self._acked else None
            if receipt is not None:
                self._teller.receipt(receipt)

    def _place(self, spoken: Spoken, cut: Finalized, sound: Sound) -> Place:
        pair = str(spoken.terms.languages.pair)
        return Place(
            job_id=spoken.job_id,
            session_id=self._teller.session_id,
            owner=self._scheduler.instance_id,
            index=spoken.index,
            audio_format=sound.audio_format,
            sample_rate=sound.sample_rate,
            expected_ms=self._scheduler.dispatcher.expected_ms(pair, cut.duration_ms),
        )

    def _spoken(self, cut: Finalized, terms: Terms, index: int, now: int) -> Spoken:
        job_id, self._next_job_id = self._next_job_id or new_job_id(self._scheduler.store.cell), None
        turn_id, part = self._parts
        part = part + 1 if turn_id == cut.turn_id else 0
        self._parts = (cut.turn_id, part)
        self._settle_held(len(cut.audio))
        return Spoken(
            index=index,
            terms=terms,
            job_id=job_id,
            turn_id=cut.turn_id,
            part_index=part,
            start_sample=cut.start_sample,
            end_sample=cut.end_sample,
            held_bytes=len(cut.audio),
            cut_ms=now,
            client_id=cut.client_id,
        )

    def _settle_held(self, more: int = 0) -> None:
        """Bring the count of held audio in line with what is collected and what jobs hold."""
        held = self._ear.cutter.buffered_bytes + sum(spoken.held_bytes for spoken in self._open.values()) + more
        self._ear.let_go(self._ear.held_bytes - held)

    def _let_go(self, spoken: Spoken) -> None:
        self._ear.let_go(spoken.held_bytes)
        spoken.held_bytes = 0

    # From the dispatcher

    def job_accepted(self, spoken: Spoken, *, released: bool) -> None:
        """Note that a node has the audio."""
        if released:
            spoken.pending = None
            self._let_go(spoken)
            if self._receipts:
                self._receipts.accepted(spoken.index)
                self.acknowledge(now_ms())
        self._teller.ui(spoken, UiEventName.NODE_ACCEPTED)

    def job_partial(self, spoken: Spoken, partial: NodeAsrPartial) -> None:
        """Tell what was heard so far."""
        if not spoken.partial_sent:
            spoken.partial_sent = True
            self._scheduler.metrics.first_result_seconds.observe((now_ms() - spoken.cut_ms) / 1000)
        self._teller.partial(spoken, partial)

    def job_lost(self, spoken: Spoken) -> None:
        """Note that the audio is wanted again."""
        if self._receipts:
            self._receipts.reheld(spoken.index)

    def job_ended(self, spoken: Spoken, outcome: Outcome) -> None:
        """Take an outcome; it is told when all earlier ones are, by the instance that has the client."""
        if isinstance(outcome, Failed) and outcome.code is ErrorCode.STORE_UNAVAILABLE and spoken.pending is not None:
            if self._waits_for_store(spoken):
                return
            outcome = replace(outcome, audio_lost=self._forward is not None)
        elif isinstance(outcome, Failed) and outcome.code is ErrorCode.SESSION_REPLACED:
            if self._waits_for_holder(spoken):
                return
            outcome = _NO_JOB
        elif isinstance(outcome, Failed) and outcome.unowned:
            if self._begins_anew(spoken):
                return
            outcome = replace(outcome, audio_lost=True)
        self._open.pop(spoken.index, None)
        self._let_go(spoken)
        spoken.pending = None
        if self._forward is not None:
            self._forward(Settled(spoken.index, spoken.job_id, outcome))
            self._holder.on_outcome()
            return
        if not self._order.resolve(spoken.index, (spoken, outcome)):
            self._scheduler.metrics.results_rejected.of("late").inc()
        self.release(now_ms())

    # A store that is away, or took this instance for dead

    def _waits_for_store(self, spoken: Spoken) -> bool:
        """Keep an utterance that could not get a job, and try again later; False: it has to end."""
        now = now_ms()
        late = now - spoken.cut_ms >= self._settings.job.store_wait_ms
        if late or not self._resumable or self._forward is not None or self._open.get(spoken.index) is not spoken:
            return False
        if now - self._store_told_ms >= _STORE_AGAIN_MS:
            self._store_told_ms = now
            self._teller.error(ErrorCode.STORE_UNAVAILABLE, "what is said now is kept, and translated when it is back")
        self._order.expect(spoken.index, now + self._settings.job.order_ms)
        delay_s = _STORE_RETRY_S * random.uniform(0.5, 1.5)
        asyncio.get_running_loop().call_later(delay_s, self._try_again, spoken)
        return True

    def _try_again(self, spoken: Spoken) -> None:
        if self._open.get(spoken.index) is not spoken:
            return
        if self._forward is not None:
            self.job_ended(spoken, _NO_JOB)
            return
        if spoken.job is not None and spoken.job.attempt_id:
            spoken.job_id = new_job_id(self._scheduler.store.cell)  # the one before ends by itself
        self._start(spoken)

    def _begins_anew(self, spoken: Spoken) -> bool:
        """Give an utterance another job, whose first one the store ended since nothing was heard of this instance."""
        if spoken.pending is None or self._forward is not None or self._open.get(spoken.index) is not spoken:
            return False
        spoken.job_id = new_job_id(self._scheduler.store.cell)
        self._start(spoken)
        return True

    def _waits_for_holder(self, spoken: Spoken) -> bool:
        """Keep an utterance that got no job since the session is held in a later generation: perhaps by this instance,
        in a moment, else by one that asks for it. False: that one has asked already."""
        if spoken.pending is None or self._forward is not None or self._open.get(spoken.index) is not spoken:
            return False
        spoken.job = None
        delay_s = _STORE_RETRY_S * random.uniform(0.5, 1.5)
        asyncio.get_running_loop().call_later(delay_s, self._look_for_holder, spoken)
        return True

    def _look_for_holder(self, spoken: Spoken) -> None:
        if self._open.get(spoken.index) is spoken:
            if self._forward is None:
                self._holder.fenced()
            self._try_again(spoken)

    # From and to another instance

    def hand_over(self, forward: Callable[[Settled], None]) -> tuple[tuple[UnderWay, ...], tuple[Carried, ...]]:
        """Tell what is under way; from now on ``forward`` gets each outcome, at once those that are there."""
        under_way, settled = [], []
        for index, resolved in self._order.waiting():
            spoken = resolved[0] if resolved is not None else self._open.get(index)
            if spoken is None:
                continue
            under_way.append(spoken.under_way())
            if resolved is not None:
                settled.append(Settled(index, spoken.job_id, resolved[1]))
            elif spoken.pending is not None and spoken.job is None:
                self._let_go(self._open.pop(index))
                settled.append(Settled(index, spoken.job_id, _NO_JOB))
        self._order = ReleaseOrder()
        self._forward = forward
        for each in settled:
            asyncio.get_running_loop().call_soon(forward, each)
        carried = self._receipts.carried() if self._receipts else []
        return tuple(under_way), tuple(Carried(key, turn, *span) for key, *span, turn in carried)

    def adopt(self, handed: Handed, terms: Terms, held_by: str) -> None:
        """Wait for the outcomes of what is under way at another instance."""
        now = now_ms()
        for kept in handed.carried:
            if self._receipts:
                self._receipts.opened(kept.index, kept.start_sample, kept.end_sample, kept.turn_id)
                self._receipts.consumed(kept.index, kept.carried_from)
        for each in handed.under_way:
            self._open[each.index] = spoken_of(each, terms, held_by, now)
            self._order.expect(each.index, now + self._settings.job.order_ms)
            if self._receipts:
                self._receipts.opened(each.index, each.start_sample, each.end_sample, each.turn_id)

    def settled_elsewhere(self, settled: Settled) -> None:
        """Take the outcome of an utterance that was under way at another instance."""
        spoken = self._open.get(settled.index)
        if spoken is None or spoken.job_id != settled.job_id:
            self._scheduler.metrics.results_rejected.of("late").inc()
            return
        if isinstance(settled.outcome, Done):
            spoken.settled_at = settled.outcome.node_id
        self.job_ended(spoken, settled.outcome)

    def lost_with(self, instance_ids: Collection[str]) -> None:
        """Ask for the audio of what was under way at instances that are gone."""
        for spoken in list(self._open.values()):
            if spoken.held_by in instance_ids:
                self.job_ended(spoken, Failed(ErrorCode.WS_DISCONNECTED, "its instance is gone", audio_lost=True))

    def give_up(self) -> None:
        """End every utterance that has no outcome; its client may send the audio again."""
        for spoken in list(self._open.values()):
            self._cancel(spoken, "drain")
            self.job_ended(spoken, Failed(ErrorCode.WS_DISCONNECTED, "its instance goes away", audio_lost=True))

    @property
    def helpers(self) -> set[str]:
        """Name the other instances at which utterances are under way."""
        return {spoken.held_by for spoken in self._open.values() if spoken.held_by}

    @property
    def open(self) -> int:
        """Count the utterances whose job has not ended."""
        return len(self._open)

    # To the client

    def release(self, now: int) -> None:
        """Tell the outcomes whose turn it is, and give up holes whose time is over."""
        for item in self._order.release(now):
            if isinstance(item, Missing):
                self._give_up(item.index)
            else:
                self._tell(*item.item, now)
        self.acknowledge(now)
        self._holder.on_outcome()

    def end_all(self) -> None:
        """End what is still owed when the session can't wait any longer."""
        for spoken in list(self._open.values()):
            self._cancel(spoken, "session_closed")
            self.job_ended(spoken, Failed(ErrorCode.JOB_TIMEOUT, "the session ended first"))

    def drop_all(self) -> None:
        """Forget everything: nobody listens any more."""
        for spoken in list(self._open.values()):
            self._cancel(spoken, "session_closed")
        self._open.clear()
        self._ear.let_go(self._ear.held_bytes)

    def _give_up(self, index: int) -> None:
        """Let a hole be: its deadline has passed, and nothing was heard of it."""
        spoken = self._open.pop(index, None)
        if spoken is None:
            return
        self._let_go(spoken)
        self._cancel(spoken, "given_up")
        self._told_index = max(self._told_index, index + 1)
        self._fail(spoken, Failed(ErrorCode.JOB_TIMEOUT, "given up", audio_lost=True))

    def _cancel(self, spoken: Spoken, reason: str) -> None:
        if spoken.job is not None:
            self._scheduler.dispatcher.cancel(spoken.job, reason)

    def _tell(self, spoken: Spoken, outcome: Outcome, now: int) -> None:
        """Tell one outcome. A result that can't be told is a failure: it must not take those after it along."""
        self._told_index = max(self._told_index, spoken.index + 1)
        if isinstance(outcome, Done):
            try:
                self._tell_result(spoken, outcome, now)
            except Exception:
                log.exception("a result can't be told", extra={"job_id": spoken.job_id})
                outcome = Failed(ErrorCode.INTERNAL_ERROR, "its result can't be told")
        if isinstance(outcome, Failed):
            self._fail(spoken, outcome)

    def _tell_result(self, spoken: Spoken, outcome: Done, now: int) -> None:
        result = outcome.result
        if self._receipts:
            carried = result.carried_from if result is not None else None
            self._receipts.consumed(spoken.index, carried)
        if result is None or not has_text(result):
            quiet = result is None or is_quiet(result)
            if self._warned or not quiet:
                self._teller.missing(spoken, MissingReason.SILENCE_DETECTED)
            return
        self._observe(spoken, outcome, now)
        self._teller.ui(spoken, UiEventName.ASR_FINAL)
        self._teller.result(spoken, result, outcome.speech)

    def _fail(self, spoken: Spoken, failed: Failed) -> None:
        resend_from = self._receipts.failed(spoken.index) if self._receipts else None
        self._teller.failed(spoken, failed, resend_from if failed.audio_lost else None)

    def _observe(self, spoken: Spoken, outcome: Done, now: int) -> None:
        seconds = (now - spoken.cut_ms) / 1000
        metrics = self._scheduler.metrics
        if not spoken.partial_sent:
            metrics.first_result_seconds.observe(seconds)
        if outcome.speech or (outcome.result and outcome.result.tts_audio):
            pair = spoken.terms.languages.pair
            metrics.first_sound_seconds(pair.source, pair.target).observe(seconds)
