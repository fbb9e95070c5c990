"""What instances hand each other, as bytes: a length, a small JSON head, then audio or speech as it is."""

from __future__ import annotations

import struct
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson
from pydantic import TypeAdapter, ValidationError

from lingua_scheduler.work import Delivery, Recall, Refusal, Said, SessionWord
from lingua_state.models import Assigned, EndedJob, LostJob
from lingua_wire import codec
from lingua_wire.catalogue import Direction
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.node_messages import JobAck, JobResult, JobStarted, NodeAsrPartial

if TYPE_CHECKING:
    from lingua_scheduler.work import Notice

Item: TypeAlias = Delivery | Refusal | Recall | Said | Assigned | LostJob | EndedJob | SessionWord

#: The largest item. A message of a node, which may hold speech as base64, has 4 MiB at most.
MESSAGE_BYTES: Final = 16 * 1024 * 1024
_LENGTH: Final = struct.Struct(">I")
_NOTICES: Final[dict[str, TypeAdapter[Any]]] = {
    "assigned": TypeAdapter(Assigned),
    "lost": TypeAdapter(LostJob),
    "ended": TypeAdapter(EndedJob),
}
_KINDS: Final = {
    Delivery: "delivery",
    Refusal: "refusal",
    Recall: "recall",
    Said: "said",
    Assigned: "assigned",
    LostJob: "lost",
    EndedJob: "ended",
    SessionWord: "session",
}
#: Fields that stay here: bytes go behind the head, and what else a script assigned is told on its own.
_LEFT_OUT: Final = frozenset({"audio", "speech", "word", "also", "body"})


def pack(item: Item) -> bytes:
    """Write an item."""
    head, body = _head(item), b""
    if isinstance(item, Delivery):
        body = item.audio
        head["head"] = dict(item.head)
    elif isinstance(item, Said):
        head["word"] = codec.encode_text(item.word)
        head["has_speech"] = item.speech is not None
        body = item.speech or b""
    elif isinstance(item, SessionWord):
        body = item.body
    packed = orjson.dumps(head)
    return b"".join((_LENGTH.pack(len(packed)), packed, body))


def pack_notice(notice: Notice) -> str:
    """Write what the store decided as text."""
    return orjson.dumps(_head(notice)).decode()


def unpack_notice(text: str) -> Notice:
    """Read what the store decided.

    :raises WireError: ``INVALID_MESSAGE``, another version wrote it.
    """
    try:
        head = orjson.loads(text)
        found: Notice = _NOTICES[head.pop("kind")].validate_python(head)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise WireError(ErrorCode.INVALID_MESSAGE, "an instance left what is not a notice") from error
    return found


def unpack(data: bytes) -> Item:
    """Read an item.

    :raises WireError: ``INVALID_MESSAGE`` when it is none; the connection can't go on.
    """
    try:
        (size,) = _LENGTH.unpack_from(data)
        start = _LENGTH.size
        head = orjson.loads(data[start : start + size])
        return _item(head.pop("kind"), head, data[start + size :])
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise WireError(
            ErrorCode.INVALID_MESSAGE, "an instance sent what is not an item", close=CloseCode.BAD_DATA
        ) from error


def _head(item: Item) -> dict[str, Any]:
    told = {each.name: getattr(item, each.name) for each in fields(item) if each.name not in _LEFT_OUT}
    return {"kind": _KINDS[type(item)]} | told


def _known(of: type[Any], head: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a newer version says besides."""
    names = {each.name for each in fields(of)}
    return {name: value for name, value in head.items() if name in names}


def _item(kind: str, head: dict[str, Any], body: bytes) -> Item:
    if kind in _NOTICES:
        found: Assigned | LostJob | EndedJob = _NOTICES[kind].validate_python(head)
        return found
    if kind == "delivery":
        return Delivery(**_known(Delivery, head), audio=body)
    if kind == "said":
        return _said(head, body)
    if kind == "session":
        return SessionWord(**_known(SessionWord, head), body=body)
    if kind == "refusal":
        return Refusal(**_known(Refusal, head))
    if kind == "recall":
        return Recall(**_known(Recall, head))
    raise ValueError("no such kind of item")


def _said(head: dict[str, Any], body: bytes) -> Said:
    word = codec.decode(head.pop("word"), Direction.FROM_NODE, max_bytes=MESSAGE_BYTES)
    if not isinstance(word, JobAck | JobStarted | NodeAsrPartial | JobResult):
        raise TypeError(f"{word.type} is no word about a job")
    speech = body if head.pop("has_speech") else None
    return Said(**_known(Said, head), word=word, speech=speech)
