"""What changes when a session goes on over another connection: the count of chunks, the pace, the pause, the turn."""

from __future__ import annotations

from kit.proof import utterance
from lingua_scheduler.sessions.cuts import CutRules, Finalized, Reason
from lingua_scheduler.sessions.cutter import Cutter
from lingua_scheduler.sessions.flow import READ_ON, Flow, FlowRules
from lingua_scheduler.sessions.order import ReleaseOrder
from lingua_scheduler.sessions.pace import PaceWatch
from lingua_scheduler.sessions.receipts import Receipts
from lingua_scheduler.sessions.sequence import SeqWindow
from lingua_scheduler.sessions.turns import Turns
from lingua_scheduler.sessions.voice import detector_of
from lingua_wire.audio import AudioFormat

LOUD = b"\xff\x3f\x01\xc0" * 4_000
LOUD_SAMPLES = 8_000


def cutter(start_sample: int = 0) -> Cutter:
    return Cutter(CutRules(vad_silence_ms=0), detector_of(AudioFormat.PCM16, 16_000), None, start_sample)


def test_a_time_without_connection_is_no_pause() -> None:
    made = cutter()
    made.append(LOUD, 0)
    assert made.go_on(60_000, LOUD_SAMPLES) == ()
    assert made.tick(60_500) == ()
    assert made.buffered_bytes == len(LOUD)


def test_samples_that_will_never_come_end_what_was_held_and_are_left_out() -> None:
    made = cutter()
    made.append(utterance(500), 0)
    (cut,) = made.go_on(60_000, 100_000)
    assert isinstance(cut, Finalized)
    assert (cut.reason, cut.start_sample, cut.end_sample) == (Reason.CLOSE, 0, LOUD_SAMPLES)
    assert made.received_samples == made.start_sample == 100_000


def test_a_session_that_is_rebuilt_counts_its_samples_on() -> None:
    made = cutter(start_sample=48_000)
    made.append(LOUD, 0)
    assert made.received_samples == 48_000 + LOUD_SAMPLES
    receipts = Receipts(start=48_000)
    assert receipts.receipt().consumed == 48_000
    assert receipts.due(0) is None, "nothing changed yet"


def test_another_socket_counts_its_chunks_from_anywhere() -> None:
    window = SeqWindow()
    assert [window.accept(seq) for seq in (0, 1, 1)] == [0, 1, None]
    window.restart()
    assert [window.accept(seq) for seq in (0, 1, 1)] == [2, 3, None]


def test_audio_that_is_sent_again_may_come_at_once_and_only_once() -> None:
    flow = Flow(FlowRules(rate=2.0, burst_ms=5_000))
    assert flow.take(5_000, 0) is READ_ON
    flow.credit(30_000)
    assert flow.take(29_000, 1) is READ_ON
    assert flow.take(5_000, 2).pause_ms > 0


def test_audio_that_is_sent_again_makes_nobody_suspect_its_rate() -> None:
    watch = PaceWatch(16_000)
    watch.rest(10_000)
    told = [watch.arrived(100 * 48_000 / 16_000, now) for now in range(0, 9_900, 100)]
    assert told == [None] * len(told)


def test_a_turn_that_was_left_open_goes_on_under_its_name() -> None:
    turns = Turns()
    first = turns.piece(continues=True)
    there = Turns()
    there.go_on(turns.turn_id)
    assert there.open
    assert there.piece(continues=False) == first
    assert there.turn_id == ""


def test_what_is_still_owed_is_listed_in_order_with_the_outcomes_that_are_there() -> None:
    order: ReleaseOrder[str] = ReleaseOrder()
    for index in (3, 4, 5):
        order.expect(index, 1_000)
    order.resolve(4, "early")
    assert order.waiting() == [(3, None), (4, "early"), (5, None)]


def test_what_a_node_carries_is_listed_for_who_goes_on_with_the_turn() -> None:
    receipts = Receipts()
    receipts.opened(0, 0, 160_000, "turn")
    receipts.consumed(0, 130_000)
    assert receipts.carried() == [(0, 0, 160_000, 130_000, "turn")]
    assert receipts.receipt().consumed == 130_000
