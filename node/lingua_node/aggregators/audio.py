"""Hold back the end of a long utterance, so that it is cut where the speaker is quiet (docs/protocol.md, Finalize).

A job that ended because the utterance grew too long is cut at its quietest 100 ms between 5 s and 8 s; what follows is
carried to the next job of the turn. Pieces are contiguous and never overlap. Pure: the caller says what time it is.
Positions are samples at 16 kHz, counted from the start of the session, or of the turn where the job names no start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lingua_node.engines.base import ASR_RATE

CUT_FROM_SAMPLES = 5 * ASR_RATE
CUT_TO_SAMPLES = 8 * ASR_RATE
_WINDOW_SAMPLES = ASR_RATE // 10
_HOP_SAMPLES = _WINDOW_SAMPLES // 10
_SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class TurnKey:
    """Whose audio belongs together."""

    session_id: str
    turn_id: str
    tgt_lang: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples in a row and where they begin."""

    start_sample: int
    pcm: bytes

    @property
    def end_sample(self) -> int:
        """Name the first sample after the piece."""
        return self.start_sample + len(self.pcm) // _SAMPLE_BYTES


@dataclass(frozen=True, slots=True)
class JobAudio:
    """What one job brought. ``continues``: the utterance grew too long and the speaker goes on."""

    job_id: str
    pcm: bytes
    continues: bool
    start_sample: int | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """What to recognise now, and from where on audio is kept for the next job of the turn."""

    pieces: tuple[Piece, ...]
    covered: tuple[int, int]
    carried_from: int | None


@dataclass(frozen=True, slots=True)
class _Turn:
    """The state of a turn: what is pending, and the last job with what was pending before it."""

    pending: Piece
    job_id: str
    before: Piece | None
    touched_s: float


class AudioAggregator:
    """Keep what is pending of every turn, bounded in number and age."""

    def __init__(self, *, expiry_s: float = 60.0, max_turns: int = 256) -> None:
        self._expiry_s = expiry_s
        self._max_turns = max_turns
        self._turns: dict[TurnKey, _Turn] = {}

    def add(self, key: TurnKey, job: JobAudio, now_s: float) -> Cut:
        """Take the audio of a job and say what to recognise of it.

        The same job again (a later attempt) meets what was pending at its first attempt and is answered alike.
        """
        self.expire(now_s)
        before = self._pending_before(key, job)
        pieces, rest = divide(before, job)
        # An ended turn stays for a while, empty: a later attempt of its last job must find what was pending.
        self._turns.pop(key, None)
        self._turns[key] = _Turn(rest, job.job_id, before, now_s)
        while len(self._turns) > self._max_turns:
            del self._turns[next(iter(self._turns))]
        start = pieces[0].start_sample if pieces else rest.start_sample
        return Cut(pieces, (start, rest.start_sample), rest.start_sample if rest.pcm else None)

    def expire(self, now_s: float) -> None:
        """Forget turns that heard nothing for too long."""
        for key in [key for key, turn in self._turns.items() if now_s - turn.touched_s >= self._expiry_s]:
            del self._turns[key]

    def forget_session(self, session_id: str) -> None:
        """Forget every turn of a session."""
        for key in [key for key in self._turns if key.session_id == session_id]:
            del self._turns[key]

    @property
    def pending_bytes(self) -> int:
        """Count the audio that is held for later jobs."""
        return sum(len(turn.pending.pcm) for turn in self._turns.values())

    def _pending_before(self, key: TurnKey, job: JobAudio) -> Piece | None:
        turn = self._turns.get(key)
        if turn is None:
            return None
        return turn.before if turn.job_id == job.job_id else turn.pending


def divide(pending: Piece | None, job: JobAudio) -> tuple[tuple[Piece, ...], Piece]:
    """Split what is pending and what came into the pieces to recognise and the rest to keep (empty at an end)."""
    early, whole = _joined(pending, job)
    pieces = [early] if early else []
    while _to_cut(whole, job, first=not pieces):
        cut = _cut_byte(whole, job)
        pieces.append(Piece(whole.start_sample, whole.pcm[:cut]))
        whole = Piece(pieces[-1].end_sample, whole.pcm[cut:])
    return tuple(pieces), whole


def _to_cut(whole: Piece, job: JobAudio, *, first: bool) -> bool:
    samples = whole.end_sample - whole.start_sample
    if not job.continues:
        return samples > 0
    # Where more than 8 s are left, a second piece is taken: else what is pending would grow from job to job.
    return samples >= CUT_TO_SAMPLES or (first and samples > CUT_FROM_SAMPLES)


def _cut_byte(whole: Piece, job: JobAudio) -> int:
    return quietest_sample(whole.pcm) * _SAMPLE_BYTES if job.continues else len(whole.pcm)


def quietest_sample(pcm: bytes) -> int:
    """Find the middle of the quietest 100 ms in [5 s, min(length, 8 s)); the first one where several are equal."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    end = min(len(samples), CUT_TO_SAMPLES)
    starts = np.arange(CUT_FROM_SAMPLES, end - _WINDOW_SAMPLES + 1, _HOP_SAMPLES)
    if not len(starts):
        return min(CUT_FROM_SAMPLES, len(samples))
    energy = np.concatenate(([0.0], np.cumsum(samples[:end] ** 2)))
    quietest = starts[np.argmin(energy[starts + _WINDOW_SAMPLES] - energy[starts])]
    return int(quietest) + _WINDOW_SAMPLES // 2


def _joined(pending: Piece | None, job: JobAudio) -> tuple[Piece | None, Piece]:
    """Put a job's audio behind what is pending.

    Audio that came twice counts as it came last; behind a gap nothing can be joined, so what is pending stands alone.
    """
    if pending is None:
        return None, Piece(job.start_sample or 0, job.pcm)
    start = pending.end_sample if job.start_sample is None else job.start_sample
    if start > pending.end_sample:
        return pending if pending.pcm else None, Piece(start, job.pcm)
    kept = pending.pcm[: max(0, start - pending.start_sample) * _SAMPLE_BYTES]
    return None, Piece(min(start, pending.start_sample) if kept else start, kept + job.pcm)
