"""Reading and writing JSON messages.

Reading takes one pass: bytes to a dict, dict to the model that its ``type`` names. What is refused, and how:

* not JSON (RFC 8259), NaN, bad UTF-8, lone surrogates, a key twice, too deep, no object: close code 1007;
* too large: close code 1009;
* an unknown ``type``, a missing field, a wrong type of value: an ``error`` for the peer, and the connection goes on.

Messages of errors name fields and what was wanted; they never hold a value of the peer, which may be speech.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import BaseModel, ValidationError

from lingua_wire import limits
from lingua_wire.catalogue import CATALOGUE, Direction
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.ids import ID_PATTERN, LANGUAGE_PATTERN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from lingua_wire.fields import Message

__all__ = ["Direction", "decode", "encode", "encode_text", "excerpt"]

#: A limit of its own for messages that carry audio; all others end at ``limits.JSON_BYTES``.
_AUDIO_FIELDS: Final = ("payload", "audio", "tts_audio")
_MAX_BYTES: Final = {
    Direction.FROM_CLIENT: limits.JSON_AUDIO_BYTES,
    Direction.TO_CLIENT: limits.NODE_JSON_BYTES,
    Direction.FROM_NODE: limits.NODE_JSON_BYTES,
    Direction.TO_NODE: limits.NODE_JSON_BYTES,
}
#: Well-formed values of these fields that nobody offers: UNSUPPORTED_FORMAT instead of INVALID_MESSAGE.
_AUDIO_KINDS: Final = frozenset({"audio_format", "sample_rate"})
_NOT_OFFERED: Final = frozenset({"enum", "greater_than_equal", "less_than_equal"})
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.\-]")
_SUBJECT: Final = re.compile(r"^[A-Z]\w+ should")
_EXCERPT_CHARS: Final = 40
_PATTERNS: Final = {
    ID_PATTERN: f"should be 1 to {limits.ID_CHARS} letters, digits or . _ : -",
    LANGUAGE_PATTERN: "should be a language code such as en or zh-CN",
}
#: From here on a message is taken to be mostly base64, with few quotes and commas.
_SHORT_CHARS: Final = 8 * 1024


def decode(raw: str | bytes, direction: Direction, *, max_bytes: int | None = None) -> Message:
    """Read one message that came in ``direction``.

    :param max_bytes: the most that a message with audio may have; None: the protocol's own limit.
    :raises WireError: with the close code to use, or without one when the connection can go on.
    """
    size_bytes = _size_bytes(raw)
    if size_bytes > (max_bytes or _MAX_BYTES[direction]):
        raise _too_large(max_bytes or _MAX_BYTES[direction])
    if size_bytes > limits.JSON_BYTES:
        _refuse_floods(raw)
    fields = _parse(raw)
    if size_bytes > limits.JSON_BYTES and direction is Direction.FROM_CLIENT and not _has_audio(fields):
        raise _too_large(limits.JSON_BYTES)
    return _build(fields, direction)


def encode(message: Message | Mapping[str, Any]) -> bytes:
    """Write a message as UTF-8 JSON, absent (None) fields left out, fields in the model's order.

    A mapping is written as it is: the way for callers that build the same message very often.

    :raises WireError: INVALID_MESSAGE when a text can't be UTF-8 (a lone surrogate).
    """
    try:
        return orjson.dumps(_fields(message), _present)
    except orjson.JSONEncodeError as error:
        raise WireError(ErrorCode.INVALID_MESSAGE, "a text of the message is not valid Unicode") from error


def encode_text(message: Message | Mapping[str, Any]) -> str:
    """Write a message as :func:`encode` does, for sockets that take text."""
    return encode(message).decode()


def excerpt(name: object) -> str:
    """Make a name chosen by a peer fit for an error message: a few plain characters, all others as ``?``."""
    text = str(name)
    return _UNSAFE.sub("?", text[:_EXCERPT_CHARS]) + ("..." if len(text) > _EXCERPT_CHARS else "")


def _fields(message: Message | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(message, BaseModel):
        return {"type": message.type, **_present(message)}
    return dict(message)


def _present(part: object) -> dict[str, Any]:
    if not isinstance(part, BaseModel):
        raise TypeError
    return {name: value for name, value in part.__dict__.items() if value is not None}


def _size_bytes(raw: str | bytes) -> int:
    if isinstance(raw, bytes) or raw.isascii():
        return len(raw)
    return len(raw.encode("utf-8", "surrogatepass"))


def _refuse_floods(raw: str | bytes) -> None:
    """Refuse a large message of tiny values before it is parsed: base64 has no commas, and text has few."""
    if _count(raw, ",", limits.JSON_COMMAS) > limits.JSON_COMMAS:
        raise _bad_json(f"more than {limits.JSON_COMMAS} values")


def _count(raw: str | bytes, mark: str, enough: int) -> int:
    """Count ``mark`` and stop above ``enough``. ``find`` passes over base64 five times faster than ``count``."""
    wanted: Any = mark if isinstance(raw, str) else mark.encode()
    if len(raw) <= _SHORT_CHARS:
        return raw.count(wanted)
    found, at = 0, raw.find(wanted)
    while at >= 0 and found <= enough:
        found += 1
        at = raw.find(wanted, at + 1)
    return found


def _parse(raw: str | bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _bad_json(f"not valid JSON at character {error.pos}") from error
    if not isinstance(parsed, dict):
        raise _bad_json("a message is a JSON object")
    _refuse_repeated_keys(raw, _count_strings(parsed, limits.JSON_DEPTH - 1))
    return parsed


def _count_strings(container: dict[str, Any] | list[Any], room: int) -> int:
    """Count keys and text values, at most ``room`` levels further down."""
    if room < 0:
        raise _bad_json(f"deeper than {limits.JSON_DEPTH} levels")
    if isinstance(container, dict):
        total, values = len(container), list(container.values())
    else:
        total, values = 0, container
    for value in values:
        kind = type(value)
        if kind is str:
            total += 1
        elif kind is dict or kind is list:
            total += _count_strings(value, room - 1)
    return total


def _refuse_repeated_keys(raw: str | bytes, strings: int) -> None:
    """Compare quotes with strings: a key given twice leaves fewer strings in the dict than there were in the text.

    Exact where no quote is escaped; only then is the text read again, by the slow parser of the standard library.
    """
    if _count(raw, '"', 2 * strings) == 2 * strings:
        return
    try:
        json.loads(raw, object_pairs_hook=_pairs)
    except ValueError as error:
        raise _bad_json("not valid JSON") from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _bad_json("a key stands twice in one object")
    return found


def _has_audio(fields: dict[str, Any]) -> bool:
    return any(fields.get(name) for name in _AUDIO_FIELDS)


def _build(fields: dict[str, Any], direction: Direction) -> Message:
    name = fields.get("type")
    if not isinstance(name, str):
        raise WireError(ErrorCode.INVALID_MESSAGE, "type: should be the name of a message")
    model = CATALOGUE[direction].get(name)
    if model is None:
        raise WireError(ErrorCode.UNKNOWN_MESSAGE, f"there is no message {excerpt(name)} from {direction}")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _wrong_field(name, error) from error


def _wrong_field(message_type: str, error: ValidationError) -> WireError:
    """Tell the first fault: which field, and what was wanted."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = ".".join([message_type, *map(excerpt, first["loc"])])
    unsupported = first["loc"][-1:] and first["loc"][-1] in _AUDIO_KINDS and first["type"] in _NOT_OFFERED
    code = ErrorCode.UNSUPPORTED_FORMAT if unsupported else ErrorCode.INVALID_MESSAGE
    return WireError(code, f"{path}: {_wanted(first)}")


def _wanted(fault: ErrorDetails) -> str:
    """Say what was wanted in pydantic's own words, which never name the value, or in plainer ones."""
    if fault["msg"] == "Field required":
        return "is missing"
    if fault["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(fault["ctx"]["pattern"], "should match its pattern")
    return _SUBJECT.sub("should", fault["msg"], count=1)


def _bad_json(reason: str) -> WireError:
    return WireError(ErrorCode.INVALID_MESSAGE, reason, close=CloseCode.BAD_DATA)


def _too_large(limit_bytes: int) -> WireError:
    return WireError(ErrorCode.TOO_LARGE, f"a message may have {limit_bytes} bytes", close=CloseCode.TOO_BIG)
