"""What a cutter is told and what it says: its rules, the reasons for a cut, and the two kinds of outcome."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lingua_wire.audio import SAMPLE_RATE, ms_of_samples


@dataclass(frozen=True, slots=True)
class CutRules:
    """When utterances end (docs/protocol.md, "Finalize"). The stabilisation waits are 0 for clients that send in order.

    ``pause_ms``, ``vad_silence_ms``, ``min_speech_ms`` and ``join_window_ms`` may be 0: that rule is off then.
    """

    #: Wall-clock time without audio after which an utterance ends.
    pause_ms: int = 3_000
    #: Longest piece of speech; more of it continues in the next piece of the turn.
    max_duration_ms: int = 10_000
    #: Most bytes of one piece, whatever their duration.
    max_buffer_bytes: int = 500 * 1024
    #: How long late audio is waited for, after a pause and after the client's final.
    stabilise_auto_ms: int = 150
    stabilise_manual_ms: int = 200
    #: More audio than this within the wait is not late: it is the next utterance of a client that sends fast. Pages
    #: may be late with one chunk of 260 ms, sent twice.
    late_ms: int = 600
    #: Silence the node is told to add at the end.
    padding_auto_ms: int = 220
    padding_manual_ms: int = 280
    #: A shorter piece joins the next one.
    short_piece_ms: int = 400
    #: Silence after speech that ends an utterance while audio keeps arriving.
    vad_silence_ms: int = 700
    #: Less speech than this makes no job.
    min_speech_ms: int = 200
    #: How long a short piece waits for the next one to join.
    join_window_ms: int = 1_000
    #: Silence kept before speech begins, so that its first sound is whole.
    lead_ms: int = 500


class Reason(StrEnum):
    """Why an utterance ended."""

    IS_FINAL = "IsFinal"
    TIMEOUT = "Timeout"
    MAX_DURATION = "MaxDuration"
    MAX_LENGTH = "MaxLength"
    SILENCE = "Silence"
    CLOSE = "Close"
    DRAIN = "Drain"


class SkipReason(StrEnum):
    """Why audio, or a finalize, made no job."""

    NO_SPEECH = "no_speech"
    TOO_SHORT = "too_short"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Finalized:
    """An utterance to translate. Samples are positions in the session's audio, ``end_sample`` exclusive.

    Of ``manual``, ``timeout`` and ``continues`` at most one is true. They are flags of ``job_assign`` (is_manual_cut,
    is_timeout_triggered, is_max_duration_triggered), and the first two end the turn. None is set for a whole utterance
    that the client did not call manual.
    """

    audio: bytes
    reason: Reason
    turn_id: str
    start_sample: int
    end_sample: int
    speech_ms: int
    padding_ms: int
    manual: bool = False
    timeout: bool = False
    continues: bool = False
    client_id: str | None = None
    sample_rate: int = SAMPLE_RATE

    @property
    def duration_ms(self) -> int:
        """Tell how long the audio is."""
        return ms_of_samples(self.end_sample - self.start_sample, self.sample_rate)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Audio, or a finalize without any, that makes no job.

    ``quiet``: nobody asked for this end, so nobody is told; the range still counts in receipts. An empty range is the
    report of a finalize whose audio joined another utterance, or that had none.
    """

    reason: SkipReason
    start_sample: int
    end_sample: int
    quiet: bool = False
    client_id: str | None = None


Cut = Finalized | Skipped
