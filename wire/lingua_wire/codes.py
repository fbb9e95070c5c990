"""The one table of error codes, and the close codes of the sockets (docs/protocol.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class ErrorCode(StrEnum):
    """What went wrong, as a peer or a caller of the HTTP API sees it."""

    INVALID_MESSAGE = "INVALID_MESSAGE"
    UNKNOWN_MESSAGE = "UNKNOWN_MESSAGE"
    OUT_OF_STATE = "OUT_OF_STATE"
    TOO_LARGE = "TOO_LARGE"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    INVALID_SESSION = "INVALID_SESSION"
    SESSION_CLOSED = "SESSION_CLOSED"
    SESSION_LIMIT = "SESSION_LIMIT"
    SESSION_REPLACED = "SESSION_REPLACED"
    IDLE_TIMEOUT = "IDLE_TIMEOUT"
    NODE_UNAVAILABLE = "NODE_UNAVAILABLE"
    NODE_LOST = "NODE_LOST"
    NODE_OVERLOADED = "NODE_OVERLOADED"
    NO_AVAILABLE_NODE = "NO_AVAILABLE_NODE"
    PAIR_NOT_OFFERED = "PAIR_NOT_OFFERED"
    MODEL_NOT_AVAILABLE = "MODEL_NOT_AVAILABLE"
    MODEL_LOAD_FAILED = "MODEL_LOAD_FAILED"
    MODEL_VERIFY_FAILED = "MODEL_VERIFY_FAILED"
    MODEL_CORRUPTED = "MODEL_CORRUPTED"
    UNSUPPORTED_FEATURE = "UNSUPPORTED_FEATURE"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    FORMAT_SUSPECT = "FORMAT_SUSPECT"
    AUDIO_TOO_LONG = "AUDIO_TOO_LONG"
    INVALID_PAIRING_CODE = "INVALID_PAIRING_CODE"
    WS_DISCONNECTED = "WS_DISCONNECTED"
    NMT_TIMEOUT = "NMT_TIMEOUT"
    TTS_TIMEOUT = "TTS_TIMEOUT"
    JOB_TIMEOUT = "JOB_TIMEOUT"
    JOB_CANCELLED = "JOB_CANCELLED"
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED"
    QUEUE_FULL = "QUEUE_FULL"
    BUFFER_FULL = "BUFFER_FULL"
    RATE_LIMITED = "RATE_LIMITED"
    SLOW_CONSUMER = "SLOW_CONSUMER"
    DRAINING = "DRAINING"
    PROCESSING_ERROR = "PROCESSING_ERROR"
    DUPLICATE_JOB_ID = "DUPLICATE_JOB_ID"
    DUPLICATE_UTTERANCE_INDEX = "DUPLICATE_UTTERANCE_INDEX"
    NO_GPU_AVAILABLE = "NO_GPU_AVAILABLE"
    NODE_ID_CONFLICT = "NODE_ID_CONFLICT"
    NOT_DECLARED = "NOT_DECLARED"
    INVALID_CAPABILITY_SCHEMA = "INVALID_CAPABILITY_SCHEMA"
    SCHEDULER_DEPENDENCY_DOWN = "SCHEDULER_DEPENDENCY_DOWN"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    CONFLICT = "CONFLICT"


class RoomErrorCode(StrEnum):
    """What went wrong with a room."""

    ROOM_NOT_FOUND = "ROOM_NOT_FOUND"
    ROOM_FULL = "ROOM_FULL"
    INVALID_ROOM_CODE = "INVALID_ROOM_CODE"
    ALREADY_IN_ROOM = "ALREADY_IN_ROOM"


class CloseCode(IntEnum):
    """Why a socket was closed (RFC 6455 7.4; 4000 and up are Lingua's own)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    WRONG_FRAME_KIND = 1003
    BAD_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    TRY_LATER = 1013
    BAD_SETTINGS = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    UNKNOWN_SESSION = 4404
    IDLE = 4408
    REPLACED = 4409
    RESUME_OVER = 4410
    AUDIO_FORMAT = 4415
    PAIR_NOT_OFFERED = 4422
    RATE = 4429
    NO_NODE = 4503


#: A client that gets one of these must not try again by itself: it would be refused again.
NEVER_RETRY = frozenset(
    {CloseCode.UNAUTHENTICATED, CloseCode.FORBIDDEN, CloseCode.AUDIO_FORMAT, CloseCode.PAIR_NOT_OFFERED}
)


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """What a code means: its HTTP status, a title for people, and whether the same call may succeed later."""

    http_status: int
    title: str
    retryable: bool = False


CODES: dict[ErrorCode, CodeInfo] = {
    ErrorCode.INVALID_MESSAGE: CodeInfo(400, "The message or request is not well formed"),
    ErrorCode.UNKNOWN_MESSAGE: CodeInfo(400, "There is no message of that type"),
    ErrorCode.OUT_OF_STATE: CodeInfo(409, "That message can't come now"),
    ErrorCode.TOO_LARGE: CodeInfo(413, "The message or body is too large"),
    ErrorCode.INTERNAL_ERROR: CodeInfo(500, "Something went wrong here", retryable=True),
    ErrorCode.INVALID_SESSION: CodeInfo(404, "There is no such session"),
    ErrorCode.SESSION_CLOSED: CodeInfo(409, "The session is closed"),
    ErrorCode.SESSION_LIMIT: CodeInfo(503, "This instance takes no more sessions at this moment", retryable=True),
    ErrorCode.SESSION_REPLACED: CodeInfo(409, "The session went on over a newer connection"),
    ErrorCode.IDLE_TIMEOUT: CodeInfo(408, "Nothing was heard from the peer for too long", retryable=True),
    ErrorCode.NODE_UNAVAILABLE: CodeInfo(503, "The node is gone", retryable=True),
    ErrorCode.NODE_LOST: CodeInfo(503, "The node was lost while it worked and the audio is gone", retryable=True),
    ErrorCode.NODE_OVERLOADED: CodeInfo(503, "The node has too much work", retryable=True),
    ErrorCode.NO_AVAILABLE_NODE: CodeInfo(503, "No node for this pair became free in time", retryable=True),
    ErrorCode.PAIR_NOT_OFFERED: CodeInfo(422, "No node offers this language pair"),
    ErrorCode.MODEL_NOT_AVAILABLE: CodeInfo(503, "The node lacks a model for this pair", retryable=True),
    ErrorCode.MODEL_LOAD_FAILED: CodeInfo(503, "The node could not load a model", retryable=True),
    ErrorCode.MODEL_VERIFY_FAILED: CodeInfo(503, "A model of the node did not pass its check"),
    ErrorCode.MODEL_CORRUPTED: CodeInfo(503, "A model of the node is damaged"),
    ErrorCode.UNSUPPORTED_FEATURE: CodeInfo(501, "This is not supported"),
    ErrorCode.UNSUPPORTED_FORMAT: CodeInfo(415, "That audio format is not accepted"),
    ErrorCode.FORMAT_SUSPECT: CodeInfo(415, "The audio arrives as if it had another sample rate than stated"),
    ErrorCode.AUDIO_TOO_LONG: CodeInfo(413, "The audio is longer than one utterance may be"),
    ErrorCode.INVALID_PAIRING_CODE: CodeInfo(403, "The pairing code is not valid"),
    ErrorCode.WS_DISCONNECTED: CodeInfo(503, "The connection was lost", retryable=True),
    ErrorCode.NMT_TIMEOUT: CodeInfo(504, "Translation took too long", retryable=True),
    ErrorCode.TTS_TIMEOUT: CodeInfo(504, "Speech synthesis took too long", retryable=True),
    ErrorCode.JOB_TIMEOUT: CodeInfo(504, "The job took too long", retryable=True),
    ErrorCode.JOB_CANCELLED: CodeInfo(409, "The job was cancelled"),
    ErrorCode.ATTEMPTS_EXHAUSTED: CodeInfo(503, "Every attempt at the job failed", retryable=True),
    ErrorCode.QUEUE_FULL: CodeInfo(503, "Too many jobs wait for this pair", retryable=True),
    ErrorCode.BUFFER_FULL: CodeInfo(503, "There is no room for more audio", retryable=True),
    ErrorCode.RATE_LIMITED: CodeInfo(429, "Too much in too short a time", retryable=True),
    ErrorCode.SLOW_CONSUMER: CodeInfo(503, "The peer reads too slowly", retryable=True),
    ErrorCode.DRAINING: CodeInfo(503, "This instance is going away", retryable=True),
    ErrorCode.PROCESSING_ERROR: CodeInfo(502, "The node failed at the job", retryable=True),
    ErrorCode.DUPLICATE_JOB_ID: CodeInfo(409, "The node has seen this job before"),
    ErrorCode.DUPLICATE_UTTERANCE_INDEX: CodeInfo(409, "That utterance was already sent"),
    ErrorCode.NO_GPU_AVAILABLE: CodeInfo(503, "The node has no GPU for this"),
    ErrorCode.NODE_ID_CONFLICT: CodeInfo(409, "Another node holds this id"),
    ErrorCode.NOT_DECLARED: CodeInfo(403, "No resource declares this node"),
    ErrorCode.INVALID_CAPABILITY_SCHEMA: CodeInfo(400, "The node's capabilities are not well formed"),
    ErrorCode.SCHEDULER_DEPENDENCY_DOWN: CodeInfo(503, "Something the scheduler needs is away", retryable=True),
    ErrorCode.STORE_UNAVAILABLE: CodeInfo(503, "The state store can't be reached", retryable=True),
    ErrorCode.UNAUTHENTICATED: CodeInfo(401, "A valid token is needed"),
    ErrorCode.FORBIDDEN: CodeInfo(403, "The token does not allow this"),
    ErrorCode.NOT_FOUND: CodeInfo(404, "There is nothing of that name"),
    ErrorCode.METHOD_NOT_ALLOWED: CodeInfo(405, "That method is not allowed here"),
    ErrorCode.CONFLICT: CodeInfo(409, "The request contradicts what is there"),
}
