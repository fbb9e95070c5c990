"""The Lingua client: connect, send speech, get text and speech in another language (docs/client.md).

What belongs here: the library (these modules) and the ``lingua`` command (``cli``). The library knows the wire and
sockets, nothing of schedulers' or nodes' insides; only ``cli`` starts other programs, as processes.
"""

from lingua_client.errors import (
    AudioError,
    CannotReachError,
    LinguaError,
    NoCapacityError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    SessionEndedError,
    TranslationFailedError,
)
from lingua_client.events import (
    Backpressure,
    Closed,
    Event,
    Failed,
    Finalized,
    GoingAway,
    LanguageDetected,
    Missing,
    Notice,
    Partial,
    Reconnecting,
    Renewed,
    Result,
    Resumed,
    Skipped,
    Timings,
)
from lingua_client.microphone import Microphone
from lingua_client.once import translate
from lingua_client.pacing import Pace
from lingua_client.session import Session, connect
from lingua_client.settings import EXTENSIONS, SessionSettings
from lingua_client.sources import Source, read_file, write_wav

__all__ = [
    "EXTENSIONS",
    "AudioError",
    "Backpressure",
    "CannotReachError",
    "Closed",
    "Event",
    "Failed",
    "Finalized",
    "GoingAway",
    "LanguageDetected",
    "LinguaError",
    "Microphone",
    "Missing",
    "NoCapacityError",
    "NotFoundError",
    "Notice",
    "Pace",
    "Partial",
    "ProtocolError",
    "Reconnecting",
    "RefusedError",
    "Renewed",
    "Result",
    "Resumed",
    "Session",
    "SessionEndedError",
    "SessionSettings",
    "Skipped",
    "Source",
    "Timings",
    "TranslationFailedError",
    "connect",
    "read_file",
    "translate",
    "write_wav",
]
