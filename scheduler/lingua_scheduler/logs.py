"""Logs as JSON lines that cannot carry speech, text or secrets.

A line holds the *template* of the message (never its arguments) and those ``extra`` fields that are on the allow-list;
everything else is dropped and only counted. Exceptions are written as their class, their code and the places in our
code: neither their text nor local variables, since both may quote what a peer sent.

Write ``log.warning("node refused", extra={"node_id": node_id, "code": code})``.
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

#: The only fields a line may carry beside time, level, logger and event.
ALLOWED_FIELDS = frozenset(
    {
        "session_id", "job_id", "node_id", "instance_id", "peer", "peer_id", "through", "attempt_id", "utterance_index",
        "turn_id", "pool_id", "trace_id", "tenant", "generation", "incarnation", "epoch",
        "code", "close_code", "http_status", "reason", "outcome", "status", "command", "finding", "setting",
        "source", "target", "profile", "platform", "version", "route", "method", "script", "affinity", "moved_from",
        "address", "port", "pid", "signal", "side", "kind", "message_type", "field",
        "count", "attempts", "sessions", "nodes", "jobs", "waiting", "size_bytes", "limit_bytes", "held_bytes",
        "lost_lines",
        "duration_ms", "elapsed_ms", "wait_ms", "lag_ms", "audio_ms", "deadline_ms", "lease_ms", "retry_after_ms",
    }
)  # fmt: skip

MAX_VALUE_CHARS = 200
MAX_EVENT_CHARS = 200
MAX_FRAMES = 12

#: Lines of one template within a second; the rest are counted and told with the next line that gets through.
LINES_PER_SECOND = 20

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "suppressed"}


def clean(text: str, limit: int = MAX_VALUE_CHARS) -> str:
    """Shorten ``text`` and escape whatever could move a cursor or fake a line: control, format and odd characters."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in short)


def _value(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 1 << 63 else clean(str(value))
    return clean(str(value))


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _place(frame: traceback.FrameSummary) -> str:
    path = PurePath(frame.filename)
    return f"{path.parent.name}/{path.name}:{frame.lineno} {frame.name}"


def describe_exception(error: BaseException, trace: TracebackType | None = None) -> dict[str, Any]:
    """Tell an exception without its text: class, code, places (innermost last), and the class of its cause."""
    frames = traceback.extract_tb(trace if trace is not None else error.__traceback__)
    told: dict[str, Any] = {"class": type(error).__name__, "places": [_place(frame) for frame in frames[-MAX_FRAMES:]]}
    code = getattr(error, "code", None)
    if isinstance(code, str | int):
        told["code"] = _value(code)
    cause = error.__cause__ or error.__context__
    if cause is not None:
        told["cause"] = type(cause).__name__
    return told


class JsonFormatter(logging.Formatter):
    """Write a record as one JSON line of allowed fields."""

    def __init__(self, instance_id: str = "") -> None:
        super().__init__()
        self._instance_id = instance_id

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self._event(record),
        }
        if self._instance_id:
            line["instance_id"] = self._instance_id
        line.update(self._fields(record))
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe_exception(record.exc_info[1], record.exc_info[2])
        return orjson.dumps(line).decode()

    @staticmethod
    def _event(record: logging.LogRecord) -> str:
        # Only the first line: asyncio writes the repr of a task, and with it an exception's text, into the next ones.
        return clean(str(record.msg).partition("\n")[0], MAX_EVENT_CHARS)

    @staticmethod
    def _fields(record: logging.LogRecord) -> dict[str, Any]:
        extra = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        kept = {name: _value(v) for name, v in extra.items() if name in ALLOWED_FIELDS and _is_plain(v)}
        if len(kept) < len(extra):
            kept["dropped_fields"] = len(extra) - len(kept)
        suppressed = getattr(record, "suppressed", 0)
        if suppressed:
            kept["suppressed"] = suppressed
        return kept


class FloodFilter(logging.Filter):
    """Let at most ``LINES_PER_SECOND`` lines of one template pass, so that a bad peer cannot fill the disk."""

    def __init__(self, lines_per_second: int = LINES_PER_SECOND) -> None:
        super().__init__()
        self._limit = lines_per_second
        self._second = 0
        self._seen: dict[tuple[str, str], int] = {}
        self._suppressed: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the line passes; errors always do."""
        self._turn(int(record.created))
        key = (record.name, str(record.msg)[:MAX_EVENT_CHARS])
        seen = self._seen[key] = self._seen.get(key, 0) + 1
        if record.levelno < logging.ERROR and seen > self._limit:
            self._suppressed[key] = self._suppressed.get(key, 0) + 1
            return False
        record.suppressed = self._suppressed.pop(key, 0)
        return True

    def _turn(self, second: int) -> None:
        if second != self._second:
            self._second = second
            self._seen.clear()
            if len(self._suppressed) > 1_000:
                self._suppressed.clear()


class LineHandler(logging.StreamHandler[TextIO]):
    """Write lines, and count those that could not be written: a full disk must not end a process, nor fill its log with
    the logging's own troubles once there is room again. The next line that gets through tells how many are missing."""

    lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        lost_before = self.lost
        if self.lost:
            record.lost_lines = self.lost
        super().emit(record)
        if self.lost == lost_before:
            self.lost = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name is logging's
        """Count a line that could not be written."""
        del record
        self.lost += 1


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("lingua_scheduler").critical("uncaught exception", exc_info=(kind, error, trace))


def set_up(level: str = "INFO", *, instance_id: str = "", stream: TextIO | None = None) -> logging.Handler:
    """Send all logs of the process as JSON lines to ``stream`` (stderr when None), and uncaught exceptions with them.

    Repeating it replaces the handler of the call before. Third-party loggers speak from WARNING on.

    :param level: a level name of :mod:`logging`, upper or lower case, for Lingua's own loggers.
    :raises ValueError: the level is not known.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler.formatter, JsonFormatter)]:
        root.removeHandler(handler)
    handler = LineHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(instance_id))
    handler.addFilter(FloodFilter())
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in ("lingua_scheduler", "lingua_state", "lingua_wire"):
        logging.getLogger(name).setLevel(level.upper())
    sys.excepthook = _uncaught
    return handler
