"""The field types that messages are made of: strict, and each with a bound."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from lingua_wire import limits
from lingua_wire.audio import MAX_RATE, MIN_RATE, AudioFormat
from lingua_wire.ids import LANGUAGE_PATTERN, Language

#: The largest whole number that every JSON reader keeps exactly.
SAFE_INTEGER = 2**53 - 1
MAX_ITEMS = limits.LIST_ITEMS


#: Audio. Its bound is the size of the whole message: to count a megabyte of characters again would cost too much.
Base64 = str


class Part(BaseModel):
    """An object inside a message: frozen, strict, unknown fields ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())


class Message(Part):
    """A message of the protocol; ``type`` is its name on the wire."""

    type: ClassVar[str]


class Spoken(Message):
    """A message that brings audio: in it, as base64, or in binary frames right behind it."""

    audio: Base64 | None = None
    # extensions
    audio_follows: bool | None = None

    @model_validator(mode="after")
    def _has_audio(self) -> Self:
        if self.audio is None and not self.audio_follows:
            raise PydanticCustomError("missing", "audio is missing")
        return self


class Mode(StrEnum):
    """Who speaks in a session: one person, or two in turns."""

    ONE_WAY = "one_way"
    TWO_WAY_AUTO = "two_way_auto"


class Extension(StrEnum):
    """What a peer may ask for in ``extensions`` (docs/protocol.md, Extensions)."""

    BINARY_AUDIO = "binary_audio"
    AUDIO_ACK = "audio_ack"
    RESUME = "resume"
    FINALIZE_REPORTS = "finalize_reports"
    STABLE_PARTIALS = "stable_partials"
    CARRIED = "carried"
    DIGEST = "digest"
    FAST_LEASE = "fast_lease"


#: What only a client, and only a node, may be granted.
SESSION_EXTENSIONS = frozenset(
    {
        Extension.BINARY_AUDIO,
        Extension.AUDIO_ACK,
        Extension.RESUME,
        Extension.FINALIZE_REPORTS,
        Extension.STABLE_PARTIALS,
    }
)
NODE_EXTENSIONS = frozenset(
    {
        Extension.BINARY_AUDIO,
        Extension.CARRIED,
        Extension.DIGEST,
        Extension.FAST_LEASE,
        Extension.STABLE_PARTIALS,
    }
)


def _empty_for_null(value: object) -> object:
    return () if value is None else value


PairName = Annotated[str, Field(pattern=f"^{LANGUAGE_PATTERN.strip('^$')}:{LANGUAGE_PATTERN.strip('^$')}$")]
Name = Annotated[str, Field(max_length=256)]
Sentence = Annotated[str, Field(max_length=4096)]
Text = Annotated[str, Field(max_length=limits.TEXT_CHARS)]
Sdp = Annotated[str, Field(max_length=48 * 1024)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

Count = Annotated[int, Field(ge=0, le=SAFE_INTEGER)]
Milliseconds = Annotated[int, Field(ge=0, le=24 * 3600 * 1000)]
#: A clock of a peer or a measured time: shown, never compared with ours, so a fraction or a negative one does no harm.
Clock = Annotated[int | float, Field(ge=-SAFE_INTEGER, le=SAFE_INTEGER)]
Measure = Annotated[float, Field(ge=-1e12, le=1e12)]
SampleRate = Annotated[int, Field(ge=MIN_RATE, le=MAX_RATE)]

ModeField = Annotated[Mode, Field(strict=False)]
AudioFormatField = Annotated[AudioFormat, Field(strict=False)]
#: An object whose inside is not ours to judge: passed on or shown; its depth and size are bounded by the decoder.
JsonObject = Annotated[dict[str, Any], Field(max_length=MAX_ITEMS)]

_TUPLE = Field(strict=False, max_length=MAX_ITEMS)
#: For lists that are empty by default: peers leave them out or send null for them.
NULL_IS_EMPTY = BeforeValidator(_empty_for_null)

Languages = Annotated[tuple[Language, ...], _TUPLE]
Names = Annotated[tuple[Name, ...], _TUPLE]
PairNames = Annotated[tuple[PairName, ...], _TUPLE]
JsonObjects = Annotated[tuple[JsonObject, ...], _TUPLE]
#: From, to: samples of the session's audio, the second not included.
SampleRange = Annotated[tuple[Count, Count], Field(strict=False)]
