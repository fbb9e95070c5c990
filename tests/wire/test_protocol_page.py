"""docs/protocol.md says what the code does: messages, fields, codes, frames and limits are compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lingua_wire import frames, limits, node_messages, room_messages, session_messages
from lingua_wire.catalogue import CATALOGUE, Direction
from lingua_wire.codes import CODES, NEVER_RETRY, CloseCode, RoomErrorCode
from lingua_wire.fields import Extension
from lingua_wire.ids import LANGUAGE_PATTERN

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]


def fields(*cells: str) -> dict[str, bool]:
    """Read names of fields; True: must be there."""
    names = [name for cell in cells for name in cell.split(", ") if name]
    return {name.rstrip("?"): not name.endswith("?") for name in names}


def fields_of(model: type[BaseModel]) -> dict[str, bool]:
    return {name: field.is_required() for name, field in model.model_fields.items()}


@pytest.mark.parametrize("direction", list(Direction))
def test_the_page_lists_every_message_with_its_fields(direction: Direction) -> None:
    told = {row[0].strip("`"): fields(*row[1:]) for row in rows(section(direction.capitalize()))}
    assert told == {name: fields_of(model) for name, model in CATALOGUE[direction].items()}


def test_the_page_lists_the_objects_in_messages() -> None:
    for name, _, told in rows(section("Objects in messages")):
        modules = (session_messages, node_messages, room_messages)
        model = next(getattr(module, name.strip("`")) for module in modules if hasattr(module, name.strip("`")))
        assert fields(told) == fields_of(model), name


def test_the_page_lists_every_error_code() -> None:
    told = {row[0].strip("`"): (int(row[1]), row[2], row[3] == "yes") for row in rows(section("Error codes"))}
    assert told == {code.value: (info.http_status, info.title, info.retryable) for code, info in CODES.items()}


def test_the_page_lists_every_close_code() -> None:
    told = {int(row[0]): row[2] == "never" for row in rows(section("Close codes"))}
    assert told == {int(code): code in NEVER_RETRY for code in CloseCode}


def test_the_page_lists_every_extension() -> None:
    assert [row[0].strip("`") for row in rows(section("Extensions"))] == [name.value for name in Extension]


def test_the_page_lists_every_reason_to_finalize() -> None:
    told = {row[0].strip("`") for row in rows(section("Finalize"))}
    assert told == set(session_messages.FinalizeReason)


def test_the_page_names_every_word_of_a_closed_list() -> None:
    lists = [
        *session_messages.UiEventName,
        *session_messages.MissingReason,
        *session_messages.SkipReason,
        *node_messages.NodeWireStatus,
        *node_messages.NodeCommand,
        *node_messages.EmptyReason,
        *RoomErrorCode,
    ]
    assert [word for word in lists if word not in PAGE] == []


def test_the_page_lists_every_kind_of_frame() -> None:
    kinds = {int(row[0]): row[1:3] for row in rows(section("Binary frames")) if row[1].strip("`").isupper()}
    places = {kind: direction for direction, kinds in frames.PLACES.items() for kind in kinds}
    assert kinds == {int(kind): [f"`{kind.name}`", str(places[kind])] for kind in frames.Kind}


def test_the_page_tells_the_limits() -> None:
    told = {row[0]: row[1] for row in rows(section("Limits"))}
    assert list(told.values()) == [
        f"{limits.JSON_BYTES >> 10} KiB",
        f"{limits.JSON_AUDIO_BYTES >> 20} MiB",
        f"{limits.NODE_JSON_BYTES >> 20} MiB",
        f"{limits.FRAME_BYTES >> 10} KiB",
        f"{limits.NODE_FRAME_BYTES >> 20} MiB",
        str(limits.JSON_DEPTH),
        str(limits.LIST_ITEMS),
    ]


def test_the_languages_of_the_page_are_languages() -> None:
    assert all(re.search(LANGUAGE_PATTERN, code) for code in ("en", "zh-Hans-CN") if f"`{code}`" in PAGE)
