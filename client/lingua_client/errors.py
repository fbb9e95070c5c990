"""What can go wrong for a caller: a few classes, each with a code of the protocol and what to do about it.

Errors of the libraries below (sockets, files, codecs) never reach a caller; they are chained as the cause.
"""

from __future__ import annotations

from typing import Final


class LinguaError(Exception):
    """The base of all errors of this package.

    ``code`` is a word of the protocol's error list (docs/protocol.md) or one of this package; ``remedy`` says in one
    sentence what a person can do, and may be empty.
    """

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy or REMEDIES.get(code, "")

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class CannotReachError(LinguaError):
    """Nobody answered at the address, or the connection broke; trying again may help."""


class RefusedError(LinguaError):
    """The service understood and said no; the same request will be refused again unless ``retry_after_s`` is set."""

    def __init__(self, code: str, message: str, remedy: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(code, message, remedy)
        self.retry_after_s = retry_after_s


class NoCapacityError(RefusedError):
    """The service or all its nodes are full, draining or absent; trying again later may help."""


class NotFoundError(RefusedError):
    """What was asked for is not there, or no longer."""


class SessionEndedError(LinguaError):
    """The session is over, by the service or by a lost connection; ``close_code`` is the socket's, or 0."""

    def __init__(self, code: str, message: str, remedy: str = "", close_code: int = 0) -> None:
        super().__init__(code, message, remedy)
        self.close_code = close_code


class TranslationFailedError(LinguaError):
    """An utterance got no translation: the job failed, or nothing was said in it."""


class AudioError(LinguaError):
    """The sound cannot be read or is not what the call wants."""


class ProtocolError(LinguaError):
    """The service sent something this client cannot understand; one of the two is broken or too old."""


#: What a person can do about a code, where that does not depend on the place.
REMEDIES: Final[dict[str, str]] = {
    "BAD_SETTINGS": "Languages are codes such as en, es, zh-Hans; see lingua pairs.",
    "INVALID_MESSAGE": "Client and service do not match; use the same version of both.",
    "CANNOT_REACH": "Check the address (--url, LINGUA_URL) and that the scheduler is running: lingua serve.",
    "UNAUTHENTICATED": "Give a valid token (--token, LINGUA_TOKEN).",
    "FORBIDDEN": "This token may not do that; ask for one with the right scope.",
    "PAIR_NOT_OFFERED": "See which language pairs are offered: lingua pairs.",
    "NO_AVAILABLE_NODE": "No node is free for this pair; see lingua nodes, and lingua explain for the reasons.",
    "SESSION_LIMIT": "Close other sessions, or try again in a moment.",
    "RATE_LIMITED": "Send audio no faster than twice real time, and fewer messages.",
    "UNSUPPORTED_FORMAT": "Send 16 kHz mono PCM16.",
    "FORMAT_SUSPECT": "Send 16 kHz mono PCM16; the rate of arrival looks like another sample rate.",
    "DRAINING": "Connect again: another instance takes the session.",
    "STORE_UNAVAILABLE": "The scheduler cannot reach Redis; try again when it is back.",
    "WS_DISCONNECTED": "Connect again; what had no result yet must be sent again.",
    "AUDIO_EXTRA_MISSING": "Install the extra: pip install 'lingua[audio]'. 16 kHz PCM16 WAV files need nothing.",
    "MICROPHONE_MISSING": "Install the extra: pip install 'lingua[microphone]', and connect a microphone.",
    "NO_READER": "Iterate over the session while you send: its events wait unread.",
    "BUFFER_FULL": "The service is behind: send more slowly, or wait for results.",
    "NO_OUTCOME": "Look at the job (lingua jobs) and at the nodes (lingua nodes).",
    "NO_SPEECH": "Check that the recording holds speech in the source language.",
}
