"""What holds for the cutter whatever is sent, in whatever order the clock and the client act."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from kit.speech import BYTE_SAMPLES, ScriptedDetector
from lingua_scheduler.sessions.cuts import Cut, CutRules, Finalized, Reason
from lingua_scheduler.sessions.cutter import Cutter

MAX_CHUNK = 100

rules = st.builds(
    CutRules,
    pause_ms=st.sampled_from([0, 500, 3_000]),
    max_duration_ms=st.sampled_from([1_000, 10_000]),
    max_buffer_bytes=st.sampled_from([150, 512_000]),
    stabilise_auto_ms=st.sampled_from([0, 150]),
    stabilise_manual_ms=st.sampled_from([0, 200]),
    short_piece_ms=st.sampled_from([0, 400]),
    vad_silence_ms=st.sampled_from([0, 700]),
    min_speech_ms=st.sampled_from([0, 200]),
    join_window_ms=st.sampled_from([0, 1_000]),
)
chunks = st.one_of(
    st.integers(0, MAX_CHUNK).map(lambda size: b"S" * size),
    st.integers(0, MAX_CHUNK).map(lambda size: b"." * size),
    st.text("S.", max_size=MAX_CHUNK).map(str.encode),
)
steps = st.tuples(
    st.sampled_from(["append", "append", "append", "finish", "tick", "turn"]), chunks, st.integers(0, 1500)
)


@dataclass
class Run:
    cuts: list[Cut]
    sent: bytes
    peak_bytes: int


def run(limits: CutRules, script: list[tuple[str, bytes, int]]) -> Run:
    target, now_ms, sent, peak = Cutter(limits, ScriptedDetector()), 0, b"", 0
    cuts: list[Cut] = []
    for action, chunk, wait_ms in script:
        now_ms += wait_ms
        if action == "append":
            sent += chunk
            cuts += target.append(chunk, now_ms)
        elif action == "finish":
            cuts += target.finish(now_ms)
        elif action == "tick":
            cuts += target.tick(now_ms)
        else:
            target.turns.end_with_next()
        peak = max(peak, target.buffered_bytes)
    cuts += target.close(Reason.CLOSE)
    assert target.buffered_bytes == 0
    assert target.received_samples == len(sent) * BYTE_SAMPLES
    return Run(cuts, sent, peak)


@settings(max_examples=400, deadline=None)
@given(rules, st.lists(steps, max_size=60))
def test_each_sample_comes_out_exactly_once_and_in_order(
    limits: CutRules, script: list[tuple[str, bytes, int]]
) -> None:
    done = run(limits, script)
    at = 0
    for cut in done.cuts:
        assert cut.start_sample == at
        at = cut.end_sample
        if isinstance(cut, Finalized):
            assert cut.audio == done.sent[cut.start_sample // BYTE_SAMPLES : cut.end_sample // BYTE_SAMPLES]
    assert at == len(done.sent) * BYTE_SAMPLES


@settings(max_examples=400, deadline=None)
@given(rules, st.lists(steps, max_size=60))
def test_no_job_is_empty_or_without_speech_unless_it_ends_a_turn(
    limits: CutRules, script: list[tuple[str, bytes, int]]
) -> None:
    open_turn: str | None = None
    for cut in run(limits, script).cuts:
        if not isinstance(cut, Finalized):
            assert open_turn is None or cut.start_sample == cut.end_sample
            continue
        assert cut.audio
        assert cut.speech_ms >= limits.min_speech_ms or cut.turn_id == open_turn
        assert open_turn is None or cut.turn_id == open_turn
        assert cut.manual + cut.timeout + cut.continues == 1
        open_turn = cut.turn_id if cut.continues else None
    assert open_turn is None


@settings(max_examples=200, deadline=None)
@given(rules, st.lists(steps, max_size=60))
def test_what_is_held_stays_within_the_bounds_and_one_chunk(
    limits: CutRules, script: list[tuple[str, bytes, int]]
) -> None:
    longest = limits.max_duration_ms // 10
    assert run(limits, script).peak_bytes <= max(min(longest, limits.max_buffer_bytes), 100) + 2 * MAX_CHUNK


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=8))
def test_however_finals_timers_and_the_close_race_audio_is_finalized_once(order: list[int]) -> None:
    target = Cutter(CutRules(), ScriptedDetector())
    target.append(b"S" * 100, 0)
    acts = [lambda: target.finish(10), lambda: target.tick(5_000), lambda: target.close(Reason.CLOSE)]
    cuts = [cut for act in order for cut in acts[act % 3]()]
    cuts += target.close(Reason.DRAIN)
    assert sum(isinstance(cut, Finalized) for cut in cuts) == 1
