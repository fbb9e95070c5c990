"""What a session tells its user: one small frozen class per kind of event."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Partial:
    """What is understood so far of an utterance. ``stable`` will not change any more, ``tentative`` may."""

    utterance_index: int
    text: str
    stable: str = ""
    tentative: str = ""
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds per stage as the node measured them, and ``total_ms`` of the whole job; None where not told."""

    asr_ms: float | None = None
    nmt_ms: float | None = None
    tts_ms: float | None = None
    total_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The one result of an utterance. ``speech`` is mono PCM16 at ``sample_rate``, empty when there is none.

    ``waited_ms`` is the time from the sending of the utterance's last sample to the arrival of the result.
    ``source`` and ``target`` are set where the direction was found out (two_way_auto, auto).
    """

    utterance_index: int
    text: str
    translation: str
    speech: bytes = field(default=b"", repr=False)
    sample_rate: int = 16_000
    timings: Timings = field(default_factory=Timings)
    node_id: str = ""
    job_id: str = ""
    trace_id: str = ""
    source: str = ""
    target: str = ""
    waited_ms: float = 0.0

    @property
    def speech_ms(self) -> float:
        """Tell how long the speech is."""
        return len(self.speech) / 2 / self.sample_rate * 1000


@dataclass(frozen=True, slots=True)
class Missing:
    """An utterance ended without a result (silence, given up, its node lost); ``reason`` is the service's word."""

    utterance_index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An utterance failed. ``resent`` is true when this client had its audio and sent it again: a result follows."""

    utterance_index: int
    code: str
    message: str = ""
    resent: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """A finalize made no job: no_speech, too_short or cancelled."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finalized:
    """An utterance was cut: ``reason`` as in docs/protocol.md; ``continues`` when the speaker went on (MaxDuration)."""

    utterance_index: int
    reason: str
    start_ms: float
    end_ms: float
    continues: bool = False
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class LanguageDetected:
    """The language in which the speaker was heard."""

    utterance_index: int
    language: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something worth telling a person that ends nothing, with its code."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Backpressure:
    """The service asked to slow down; the library has already obeyed: nothing is sent for ``wait_ms``."""

    reason: str
    wait_ms: int


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The instance will close the connection by ``deadline_ms`` from now.

    A session that can be resumed moves by itself after ``reconnect_after_ms``, and tells so (:class:`Resumed`).
    """

    reason: str
    deadline_ms: int
    reconnect_after_ms: int


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The connection was lost; the library connects again by itself. Audio may go on being sent: it is kept."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The session goes on over a new connection, after ``gap_ms`` without one.

    ``lost_ms`` of audio were spoken meanwhile and are lost: more than the library keeps. Mostly 0.
    """

    gap_ms: float = 0.0
    lost_ms: float = 0.0
    instance_id: str = ""


@dataclass(frozen=True, slots=True)
class Renewed:
    """The session could not be resumed. A fresh one took its place, and what had no outcome was sent to it again."""

    session_id: str
    gap_ms: float = 0.0
    lost_ms: float = 0.0
    instance_id: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """The last event of a session that ended as it should."""

    code: int
    reason: str = ""


Event = (
    Partial
    | Result
    | Missing
    | Failed
    | Skipped
    | Finalized
    | LanguageDetected
    | Notice
    | Backpressure
    | GoingAway
    | Reconnecting
    | Resumed
    | Renewed
    | Closed
)
