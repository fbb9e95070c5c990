"""The cutter, one rule of docs/protocol.md ("Finalize") per test. One byte of scripted audio is 10 ms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.speech import BYTE_SAMPLES, ScriptedDetector, pcm_chunks, plan_a_chunks, silence, spoken
from lingua_scheduler.sessions.cuts import Cut, CutRules, Finalized, Reason, Skipped, SkipReason
from lingua_scheduler.sessions.cutter import Cutter
from lingua_scheduler.sessions.turns import Turns
from lingua_scheduler.sessions.voice import Heard, Pcm16Detector, PlanADetector

BASE = CutRules()
IN_ORDER = CutRules(stabilise_auto_ms=0, stabilise_manual_ms=0)
SPEECH_1S = b"S" * 100
SILENCE_1S = b"." * 100


def cutter(rules: CutRules = IN_ORDER) -> Cutter:
    return Cutter(rules, ScriptedDetector(), Turns(new_id=iter(f"turn-{n}" for n in range(1000)).__next__))


def stream(target: Cutter, script: bytes, *, start_ms: int = 0, chunk: int = 10) -> list[Cut]:
    """Send scripted audio in chunks of 100 ms, in real time."""
    cuts: list[Cut] = []
    for at in range(0, len(script), chunk):
        cuts += target.append(script[at : at + chunk], start_ms + (at + chunk) * 10)
    return cuts


def one(cuts: list[Cut] | tuple[Cut, ...]) -> Finalized:
    (cut,) = cuts
    assert isinstance(cut, Finalized)
    return cut


def skipped(cuts: list[Cut] | tuple[Cut, ...]) -> Skipped:
    (cut,) = cuts
    assert isinstance(cut, Skipped)
    return cut


def test_a_final_ends_the_utterance_at_once_for_a_client_that_sends_in_order() -> None:
    target = cutter()
    assert stream(target, SPEECH_1S) == []
    cut = one(target.finish(1_000, "mine"))
    assert (cut.audio, cut.reason, cut.client_id) == (SPEECH_1S, Reason.IS_FINAL, "mine")
    assert (cut.start_sample, cut.end_sample, cut.duration_ms, cut.speech_ms) == (0, 16_000, 1_000, 1_000)
    assert (cut.manual, cut.timeout, cut.continues, cut.padding_ms) == (True, False, False, 280)
    assert target.buffered_bytes == 0
    assert target.next_due_ms is None


def test_a_base_client_s_final_waits_200_ms_for_audio_that_it_overtook() -> None:
    target = cutter(BASE)
    stream(target, SPEECH_1S)
    assert target.finish(1_000) == ()
    assert target.append(b"S" * 20, 1_100) == ()
    assert target.next_due_ms == 1_200
    assert target.tick(1_199) == ()
    assert one(target.tick(1_200)).audio == SPEECH_1S + b"S" * 20


def test_audio_after_the_wait_belongs_to_the_next_utterance_even_when_the_timer_is_late() -> None:
    target = cutter(BASE)
    stream(target, SPEECH_1S)
    target.finish(1_000)
    cut = one(target.append(b"S" * 50, 1_400))
    assert cut.audio == SPEECH_1S
    assert target.received_samples - cut.end_sample == 50 * BYTE_SAMPLES
    assert target.tick(1_400) == ()


def test_of_two_finals_in_a_row_the_second_is_skipped() -> None:
    target = cutter(BASE)
    stream(target, SPEECH_1S)
    target.finish(1_000, "first")
    again = skipped(target.finish(1_050, "second"))
    assert (again.reason, again.client_id, again.quiet) == (SkipReason.EMPTY, "second", False)
    assert one(target.tick(1_200)).client_id == "first"
    assert skipped(target.finish(1_300, "third")).reason is SkipReason.EMPTY


def test_the_finals_of_a_web_page_in_a_pause_make_one_job() -> None:
    target = cutter(BASE)
    cuts = list(stream(target, SPEECH_1S))
    for number in range(8):
        now_ms = 1_000 + number * 256
        cuts += target.finish(now_ms)
        cuts += target.append(b"." * 25, now_ms + 5)
    cuts += target.tick(20_000)
    cuts += target.tick(30_000)
    assert [cut.reason for cut in cuts if isinstance(cut, Finalized)] == [Reason.IS_FINAL]
    assert all(cut.reason in (SkipReason.EMPTY, SkipReason.NO_SPEECH) for cut in cuts if isinstance(cut, Skipped))


def test_no_new_audio_for_the_pause_ends_the_utterance_as_timeout() -> None:
    target = cutter(BASE)
    stream(target, SPEECH_1S)
    assert target.next_due_ms == 1_000 + 3_000 + 150
    assert target.tick(4_149) == ()
    cut = one(target.tick(4_150))
    assert (cut.reason, cut.manual, cut.timeout, cut.padding_ms) == (Reason.TIMEOUT, False, True, 220)
    assert target.tick(99_000) == ()


def test_audio_in_hand_beats_a_timer_that_a_stalled_process_missed() -> None:
    target = cutter()
    stream(target, SPEECH_1S)
    assert target.append(b"S" * 10, 9_000) == ()
    assert one(target.finish(9_000)).duration_ms == 1_100


def test_speech_past_ten_seconds_is_cut_and_goes_on_in_the_same_turn() -> None:
    target = cutter()
    cuts = stream(target, SPEECH_1S * 25)
    cuts += target.finish(25_000)
    pieces = [cut for cut in cuts if isinstance(cut, Finalized)]
    assert [piece.duration_ms for piece in pieces] == [10_000, 10_000, 5_000]
    assert [piece.reason for piece in pieces] == [Reason.MAX_DURATION, Reason.MAX_DURATION, Reason.IS_FINAL]
    assert [piece.continues for piece in pieces] == [True, True, False]
    assert len({piece.turn_id for piece in pieces}) == 1
    assert b"".join(piece.audio for piece in pieces) == SPEECH_1S * 25


def test_a_piece_never_takes_more_bytes_than_its_bound() -> None:
    target = cutter(replace(IN_ORDER, max_buffer_bytes=350))
    cuts = stream(target, SPEECH_1S * 5)
    assert [cut.reason for cut in cuts if isinstance(cut, Finalized)] == [Reason.MAX_LENGTH]
    assert one(cuts).continues
    assert target.buffered_bytes <= 350


def test_silence_after_speech_ends_the_utterance_while_audio_keeps_arriving() -> None:
    target = cutter()
    cut = one(stream(target, SPEECH_1S + b"." * 70))
    assert (cut.reason, cut.timeout, cut.duration_ms) == (Reason.SILENCE, True, 1_700)
    assert stream(target, b"." * 50, start_ms=1_700) == []


def test_silence_ends_nothing_when_its_rule_is_off() -> None:
    target = cutter(replace(IN_ORDER, vad_silence_ms=0))
    assert stream(target, SPEECH_1S + SILENCE_1S * 5) == []


def test_a_short_gap_in_speech_ends_nothing() -> None:
    target = cutter()
    assert stream(target, SPEECH_1S + b"." * 60 + SPEECH_1S) == []


def test_endless_silence_makes_no_job_and_is_not_kept() -> None:
    target = cutter()
    cuts = stream(target, SILENCE_1S * 60)
    assert all(isinstance(cut, Skipped) and cut.quiet and cut.reason is SkipReason.NO_SPEECH for cut in cuts)
    assert target.buffered_bytes <= 160
    assert cuts[-1].end_sample + target.buffered_bytes * BYTE_SAMPLES == target.received_samples


def test_speech_after_long_silence_keeps_a_lead_and_starts_no_piece_in_its_middle() -> None:
    target = cutter()
    cuts = stream(target, SILENCE_1S * 9 + SPEECH_1S * 5 + b"." * 70)
    cut = one([cut for cut in cuts if isinstance(cut, Finalized)])
    assert cut.reason is Reason.SILENCE
    assert cut.audio.count(b"S") == 500
    assert 50 <= cut.audio.index(b"S") <= 160


def test_speech_that_begins_where_a_long_noise_would_be_cut_stays_whole() -> None:
    rules = replace(IN_ORDER, vad_silence_ms=0)
    target = cutter(rules)
    clicks = (b"S" + b"." * 99) * 9 + b"S" + b"." * 91 + b"S" * 7  # 70 ms of speech as ten seconds are full
    cuts = [*stream(target, clicks + SPEECH_1S), *target.finish(11_000)]
    dropped, cut = cuts
    assert isinstance(dropped, Skipped)
    assert (dropped.reason, dropped.quiet) == (SkipReason.TOO_SHORT, True)
    assert one([cut]).audio.endswith(b"S" * 107)


def test_a_final_after_silence_only_is_skipped_and_said_so() -> None:
    target = cutter()
    stream(target, b"." * 80)
    cut = skipped(target.finish(800, "mine"))
    assert (cut.reason, cut.quiet, cut.client_id) == (SkipReason.NO_SPEECH, False, "mine")
    assert (cut.start_sample, cut.end_sample) == (0, 80 * BYTE_SAMPLES)


def test_a_piece_under_400_ms_joins_the_next_one() -> None:
    target = cutter()
    stream(target, b"S" * 30)
    assert target.finish(300, "short") == ()
    joined = skipped(stream(target, b"S" * 50, start_ms=600))
    assert (joined.reason, joined.client_id) == (SkipReason.TOO_SHORT, "short")
    assert joined.start_sample == joined.end_sample == 0
    cut = one(target.finish(1_200, "long"))
    assert (cut.audio, cut.client_id) == (b"S" * 80, "long")


def test_a_short_word_without_a_next_piece_is_translated_after_a_second() -> None:
    target = cutter()
    stream(target, b"S" * 30)
    assert target.finish(300) == ()
    assert target.next_due_ms == 1_300
    assert one(target.tick(1_300)).speech_ms == 300


def test_under_200_ms_of_speech_is_skipped_when_nothing_follows() -> None:
    target = cutter()
    stream(target, b"S" * 15)
    assert target.finish(150, "cough") == ()
    cut = skipped(target.tick(1_150))
    assert (cut.reason, cut.client_id, cut.end_sample) == (SkipReason.TOO_SHORT, "cough", 15 * BYTE_SAMPLES)


def test_a_cough_is_skipped_with_the_silence_that_came_after_it() -> None:
    target = cutter()
    stream(target, b"S" * 10)
    target.finish(100, "cough")
    assert stream(target, b"." * 90, start_ms=100) == []
    cut = skipped(target.tick(1_100))
    assert (cut.reason, cut.client_id, cut.end_sample) == (SkipReason.TOO_SHORT, "cough", target.received_samples)
    assert target.buffered_bytes == 0


def test_speech_that_begins_as_the_joining_window_ends_is_not_lost() -> None:
    target = cutter()
    stream(target, b"S" * 10)
    target.finish(100, "cough")
    cuts = stream(target, b"." * 90 + b"S" * 5, start_ms=100, chunk=5)
    cuts += target.append(b"S" * 60, 1_200)
    cuts += target.finish(1_800)
    assert [cut.reason for cut in cuts] == [SkipReason.TOO_SHORT, Reason.IS_FINAL]
    assert one(cuts[1:]).audio.endswith(b"S" * 65)


@pytest.mark.parametrize("rest", [b"." * 20, b"S" * 5])
def test_the_last_piece_of_a_turn_is_sent_at_once_though_it_is_short_or_silent(rest: bytes) -> None:
    target = cutter()
    cuts = stream(target, SPEECH_1S * 10 + rest)
    assert one(cuts).continues
    last = one(target.finish(10_200))
    assert (last.audio, last.turn_id, last.continues) == (rest, one(cuts).turn_id, False)


def test_silence_after_a_continued_piece_ends_its_turn() -> None:
    target = cutter()
    first, last = stream(target, SPEECH_1S * 10 + b"." * 70)
    assert isinstance(first, Finalized)
    assert isinstance(last, Finalized)
    assert (first.reason, last.reason, last.timeout) == (Reason.MAX_DURATION, Reason.SILENCE, True)
    assert last.turn_id == first.turn_id
    assert not target.turns.open


def test_ten_seconds_of_silence_end_a_turn_even_with_the_silence_rule_off() -> None:
    target = cutter(replace(IN_ORDER, vad_silence_ms=0))
    first, last = (cut for cut in stream(target, SPEECH_1S * 10 + SILENCE_1S * 11) if isinstance(cut, Finalized))
    assert (first.reason, last.reason) == (Reason.MAX_DURATION, Reason.SILENCE)
    assert not target.turns.open


def test_a_change_of_languages_ends_the_turn_with_its_next_piece() -> None:
    target = cutter()
    first = one(stream(target, SPEECH_1S * 11))
    target.turns.end_with_next()
    second = one(stream(target, SPEECH_1S * 10, start_ms=11_000))
    third = one([*stream(target, SPEECH_1S), *target.finish(22_000)])
    assert first.turn_id == second.turn_id != third.turn_id
    assert (second.reason, second.continues, second.timeout) == (Reason.MAX_DURATION, False, True)


@pytest.mark.parametrize("reason", [Reason.CLOSE, Reason.DRAIN])
def test_closing_finalizes_what_was_spoken_and_ends_the_turn(reason: Reason) -> None:
    target = cutter()
    stream(target, SPEECH_1S)
    cut = one(target.close(reason))
    assert (cut.reason, cut.continues, cut.timeout) == (reason, False, True)
    assert target.close(reason) == ()


def test_closing_after_a_final_finalizes_once_as_the_client_asked() -> None:
    target = cutter(BASE)
    stream(target, SPEECH_1S)
    target.finish(1_000, "mine")
    cut = one(target.close(Reason.CLOSE))
    assert (cut.reason, cut.client_id) == (Reason.IS_FINAL, "mine")
    assert target.tick(2_000) == ()


def test_silence_left_at_the_close_is_skipped_without_a_word() -> None:
    target = cutter()
    stream(target, b"." * 40)
    assert skipped(target.close(Reason.CLOSE)).quiet


def test_a_whole_utterance_is_cut_as_it_is_after_what_was_streamed() -> None:
    target = cutter()
    stream(target, SPEECH_1S)
    heard = Heard(samples=32_000, speech=16_000, silence=0)
    streamed, whole = target.whole(b"wav", heard, manual=False, client_id="7")
    assert isinstance(streamed, Finalized)
    assert isinstance(whole, Finalized)
    assert (streamed.audio, whole.audio, whole.client_id) == (SPEECH_1S, b"wav", "7")
    assert (whole.start_sample, whole.end_sample) == (16_000, 48_000)
    assert (whole.manual, whole.timeout, whole.continues, whole.padding_ms) == (False, True, False, 0)


def test_a_whole_utterance_of_silence_or_nothing_makes_no_job() -> None:
    target = cutter()
    assert skipped(target.whole(b"....", Heard(640, 0, 640))).reason is SkipReason.NO_SPEECH
    assert skipped(target.whole(b"", Heard(0, 0, 0))).reason is SkipReason.EMPTY


def test_other_rules_apply_from_the_next_turn_on() -> None:
    target = cutter()
    stream(target, SPEECH_1S)
    target.change_rules(replace(IN_ORDER, vad_silence_ms=300))
    assert stream(target, b"." * 40) == []
    target.finish(2_000)
    assert one(stream(target, SPEECH_1S + b"." * 30)).reason is Reason.SILENCE


def test_a_late_chunk_is_put_in_its_place() -> None:
    target = cutter()
    for position, text in ((4, b"aS" * 20), (6, b"cS" * 20), (5, b"bS" * 20)):
        target.append(text, 100, position)
    assert one(target.finish(200)).audio == b"aS" * 20 + b"bS" * 20 + b"cS" * 20


def test_an_empty_chunk_is_no_audio_and_does_not_end_the_pause() -> None:
    target = cutter()
    stream(target, SPEECH_1S)
    due = target.next_due_ms
    assert target.append(b"", 2_500) == ()
    assert target.next_due_ms == due


def test_the_detector_changes_only_between_utterances() -> None:
    target = cutter()
    target.hear_with(ScriptedDetector())
    stream(target, SPEECH_1S)
    with pytest.raises(ValueError, match="within an utterance"):
        target.hear_with(ScriptedDetector())


def test_appending_keeps_the_caller_s_memory_and_joins_it_once() -> None:
    target = cutter()
    frame = bytearray(SPEECH_1S)
    target.append(memoryview(frame), 0)
    frame[:4] = b"SSxS"
    assert one(target.finish(0)).audio == bytes(frame)


@pytest.mark.parametrize("kind", ["pcm16", "opus"])
def test_real_speech_streamed_with_pauses_is_cut_into_its_sentences(kind: str) -> None:
    sound = silence(1) + spoken("good morning everybody") + silence(2) + spoken("where is the next train") + silence(2)
    chunks = pcm_chunks(sound) if kind == "pcm16" else plan_a_chunks(sound)
    target = Cutter(IN_ORDER, Pcm16Detector() if kind == "pcm16" else PlanADetector())
    cuts = [cut for number, chunk in enumerate(chunks) for cut in target.append(chunk, number * 100)]
    pieces = [cut for cut in cuts if isinstance(cut, Finalized)]
    assert [piece.reason for piece in pieces] == [Reason.SILENCE, Reason.SILENCE]
    assert all(500 < piece.speech_ms < piece.duration_ms < 4_500 for piece in pieces)


@pytest.mark.parametrize("sample", [b"\0\0", b"\xff\x7f"], ids=["silence", "noise"])
def test_chunks_of_one_sample_do_not_pile_up(sample: bytes) -> None:
    target = Cutter(replace(IN_ORDER, vad_silence_ms=0, pause_ms=0, max_duration_ms=60_000), Pcm16Detector())
    cuts: list[Cut] = []
    for now_ms in range(13_000):
        cuts += target.append(sample, now_ms)
    assert target.buffered_bytes <= 6_000 * 2
    assert sum(cut.end_sample - cut.start_sample for cut in cuts) + target.buffered_bytes // 2 == 13_000
