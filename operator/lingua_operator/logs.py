"""Logs as JSON lines that cannot carry secrets: the template of a message and fields of an allow-list, nothing else.

kopf writes whole resources and patches into its messages: of a library only the template is kept, and only warnings.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO

import orjson

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger("lingua_operator")

ALLOWED_FIELDS = (
    "node_id", "namespace", "code", "status", "reason", "count", "elapsed_ms", "port", "setting", "signal",
    "version", "outcome", "kind", "identity",
)  # fmt: skip
MAX_CHARS = 200
MAX_FRAMES = 12


def set_up(level: str = "INFO", stream: TextIO | None = None) -> logging.Handler:
    """Send all logs of the process as JSON lines to ``stream`` (stderr when None); repeating replaces it."""
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler.formatter, JsonFormatter)]:
        root.removeHandler(old)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(_is_news)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in ("lingua_operator", "lingua_state"):
        logging.getLogger(name).setLevel(level)
    return handler


class JsonFormatter(logging.Formatter):
    """Write a record as one JSON line of allowed fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": clean(_template(record)),
        }
        line |= {name: _value(record.__dict__[name]) for name in ALLOWED_FIELDS if name in record.__dict__}
        line |= _object(record)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _describe(record.exc_info[1], record.exc_info[2])
        return orjson.dumps(line).decode()


def clean(text: str, limit: int = MAX_CHARS) -> str:
    """Shorten ``text`` and escape whatever could move a cursor or fake a line."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in short)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out that a deletion waits for running jobs: kopf calls that an error."""
    return not (record.name == "kopf.objects" and "failed temporarily" in str(record.msg))


def _template(record: logging.LogRecord) -> str:
    """Give the first line of the message as it stands in the code; kopf's are filled in already: their first words."""
    text = str(record.msg).partition("\n")[0]
    return text.partition("{")[0][:80] if record.name.startswith("kopf") else text


def _object(record: logging.LogRecord) -> dict[str, str]:
    """Name the resource that a line of kopf is about."""
    ref = getattr(record, "k8s_ref", None) or {}
    return {f"resource_{name}": clean(str(ref[name])) for name in ("kind", "namespace", "name") if ref.get(name)}


def _value(value: object) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, bool | int | float) else clean(str(value))


def _describe(error: BaseException, trace: TracebackType | None) -> dict[str, Any]:
    frames = traceback.extract_tb(trace)[-MAX_FRAMES:]
    places = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    cause = error.__cause__ or error.__context__
    told: dict[str, Any] = {"class": type(error).__name__, "places": places}
    status = getattr(error, "status", None)
    if isinstance(status, int):
        told["status"] = status
    return told | ({"cause": type(cause).__name__} if cause else {})
