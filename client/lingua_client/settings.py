"""What a session is opened with, beyond address, languages and token. Every figure has its unit in its name."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Final

from lingua_wire.fields import Extension

VERSION: Final = "lingua-python/0.1"

#: What this library can do; the service grants a part of it.
EXTENSIONS: Final = (
    Extension.BINARY_AUDIO,
    Extension.AUDIO_ACK,
    Extension.RESUME,
    Extension.FINALIZE_REPORTS,
    Extension.STABLE_PARTIALS,
)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Settings of a session that most callers leave alone; None leaves the choice to the service.

    ``pause_ms``, ``vad_silence_ms`` (0: never cut at a silence) and ``max_duration_ms`` decide when an utterance ends
    (docs/protocol.md, Finalize). ``partial_interval_ms`` 0 asks for no partials. ``tenant`` counts only where
    authentication is off. ``speech`` False asks for text alone.
    """

    dialect: str | None = None
    pairing_code: str | None = field(default=None, repr=False)
    tenant: str | None = None
    pause_ms: int | None = None
    vad_silence_ms: int | None = None
    max_duration_ms: int | None = None
    partial_interval_ms: int = 500
    speech: bool = True
    trace_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    #: How long to go on trying to connect, with full jitter; 0: one try.
    connect_timeout_s: float = 10.0
    #: How long to go on trying to connect again after a loss, with full jitter; 0: a lost connection ends the session.
    resume_timeout_s: float = 120.0
    #: How long a close waits for results that are still owed.
    close_timeout_s: float = 30.0
    #: How long after the last sign of life an owed outcome is given up: attempts of a job take up to a minute each.
    outcome_timeout_s: float = 120.0
    #: How long a sender is held while the service is behind, before the oldest audio can no longer be sent again.
    hold_timeout_s: float = 5.0
    #: How much sent audio is kept to be sent again when a node is lost.
    ring_ms: int = 30_000
    #: Unread events that may wait before the socket is no longer read.
    unread_events: int = 256
    heartbeat_s: float = 20.0
