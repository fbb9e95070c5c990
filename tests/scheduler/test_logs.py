"""Logs carry what is on the allow-list, and no speech, text or secret."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lingua_scheduler import logs

if TYPE_CHECKING:
    from collections.abc import Iterator

SPOKEN = "the quick brown fox owes me money"
log = logging.getLogger("lingua_scheduler.test")


class Lines:
    """Everything that was logged, as text and as parsed lines."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.all[-1]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """A process that logs into memory; everything is put back afterwards."""
    root, hook = logging.getLogger(), sys.excepthook
    names = ("lingua_scheduler", "lingua_state", "lingua_wire")
    levels = {name: logging.getLogger(name).level for name in names}
    before = root.level
    found = Lines()
    handler = logs.set_up("debug", instance_id="one", stream=found.stream)
    yield found
    root.removeHandler(handler)
    root.setLevel(before)
    sys.excepthook = hook
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_holds_time_level_event_instance_and_the_allowed_fields(lines: Lines) -> None:
    log.info("session opened", extra={"session_id": "s1", "code": "X", "count": 3})
    line = lines.last
    assert line["event"] == "session opened"
    assert (line["level"], line["session_id"], line["code"], line["count"]) == ("info", "s1", "X", 3)
    assert line["instance_id"] == "one"
    assert line["time"].endswith("Z")


def test_a_field_that_is_not_on_the_list_is_dropped_and_counted(lines: Lines) -> None:
    log.info("result", extra={"text_asr": SPOKEN, "token": "secret", "job_id": "j"})
    assert lines.last["dropped_fields"] == 2
    assert SPOKEN not in lines.text
    assert "secret" not in lines.text


def test_arguments_of_a_message_never_get_into_a_line(lines: Lines) -> None:
    log.warning("heard %s", SPOKEN)
    assert lines.last["event"] == "heard %s"
    assert SPOKEN not in lines.text


def test_a_structured_value_cannot_hide_in_an_allowed_field(lines: Lines) -> None:
    log.info("odd", extra={"session_id": {"text": SPOKEN}, "job_id": [SPOKEN]})
    assert SPOKEN not in lines.text
    assert lines.last["dropped_fields"] == 2


def test_an_exception_is_told_by_class_code_and_place_without_its_text_or_locals(lines: Lines) -> None:
    class OddError(Exception):
        code = "ODD_THING"

    def fails() -> None:
        private = SPOKEN
        raise OddError(private) from ValueError(private)

    try:
        fails()
    except OddError:
        log.exception("it broke")
    told = lines.last["error"]
    assert (told["class"], told["code"], told["cause"]) == ("OddError", "ODD_THING", "ValueError")
    assert told["places"][-1].endswith("fails")
    assert SPOKEN not in lines.text


def test_an_uncaught_exception_is_one_line_without_its_text(lines: Lines) -> None:
    error = RuntimeError(SPOKEN)
    sys.excepthook(RuntimeError, error, error.__traceback__)
    assert lines.last["level"] == "critical"
    assert lines.last["error"]["class"] == "RuntimeError"
    assert SPOKEN not in lines.text


async def test_what_asyncio_says_of_a_forgotten_task_holds_no_text(lines: Lines) -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    future.set_exception(ValueError(SPOKEN))
    loop.call_exception_handler({"message": "Task exception was never retrieved", "future": future})
    future.exception()
    assert lines.last["logger"] == "asyncio"
    assert SPOKEN not in lines.text


@pytest.mark.parametrize("odd", ["a\nb", "\x1b[31mred", "a\u2028b", "\u202eabc", "\x00", "\ud800", "\x85"])
def test_control_and_format_characters_are_escaped(lines: Lines, odd: str) -> None:
    log.info("peer", extra={"node_id": f"n{odd}"})
    assert len(lines.text.splitlines()) == 1
    assert lines.last["node_id"].isprintable()


def test_a_long_value_is_cut(lines: Lines) -> None:
    log.info("peer", extra={"platform": "x" * 10_000})
    assert len(lines.last["platform"]) == logs.MAX_VALUE_CHARS


def test_a_number_no_json_reader_takes_is_written_as_text(lines: Lines) -> None:
    log.info("peer", extra={"count": 1 << 80, "wait_ms": float("nan")})
    assert lines.last["count"] == str(1 << 80)
    assert lines.last["wait_ms"] is None


def test_a_flood_of_one_template_is_cut_and_the_rest_counted(lines: Lines) -> None:
    for _ in range(1_000):
        log.warning("bad message", extra={"code": "INVALID_MESSAGE"})
    assert len(lines.all) < 3 * logs.LINES_PER_SECOND
    log.error("something else")
    assert lines.last["event"] == "something else"


def test_what_was_suppressed_is_told_with_the_next_line_that_passes() -> None:
    flood = logs.FloodFilter(lines_per_second=1)
    record = logging.makeLogRecord({"name": "x", "msg": "same", "levelno": logging.INFO, "created": 10.0})
    assert flood.filter(record)
    assert not flood.filter(record)
    later = logging.makeLogRecord({"name": "x", "msg": "same", "levelno": logging.INFO, "created": 11.0})
    assert flood.filter(later)
    assert vars(later)["suppressed"] == 1


def test_setting_up_twice_writes_each_line_once(lines: Lines) -> None:
    handler = logs.set_up("info", stream=lines.stream)
    log.info("once")
    logging.getLogger().removeHandler(handler)
    assert [line["event"] for line in lines.all] == ["once"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        logs.set_up("loud", stream=io.StringIO())


def logged_fields(source: str) -> set[str]:
    """Name the ``extra`` fields that a module's log calls give."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
            found |= {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
    return found


def test_every_field_that_the_scheduler_logs_is_on_the_list() -> None:
    package = Path(logs.__file__).parent
    fields = set().union(*(logged_fields(module.read_text()) for module in package.rglob("*.py")))
    assert "session_id" in fields, "no log call was found"
    assert fields - logs.ALLOWED_FIELDS == set()


class Disk(io.StringIO):
    """A file on a disk that may be full."""

    full = False

    def write(self, text: str, /) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_line_that_can_not_be_written_is_counted_and_told_by_the_next_one(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = lines.stream = Disk()
    handler = logs.set_up("info", stream=disk)
    try:
        disk.full = True
        for _ in range(3):
            log.info("a line that is lost")
        disk.full = False
        log.info("there is room again")
        assert lines.last["lost_lines"] == 3
        log.info("and all is told")
        assert "lost_lines" not in lines.last
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().err == "", "the logging tells nothing of its own troubles"
