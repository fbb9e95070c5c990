"""What is nested too deep is cut off before it is read, and nothing else is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_operator.shallow import CUT_OFF, DEPTH, shallow

TEXTS = st.text(max_size=8) | st.sampled_from(['"', "\\", '\\"', "{[", "]}", '"}', "\n"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=30,
)


def nested(value: Any, levels: int, *, lists: bool = False) -> bytes:
    opening, closing = (b"[", b"]") if lists else (b'{"a{": ', b"}")
    return opening * levels + json.dumps(value).encode() + closing * levels


def deepest(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = value["a{"] if isinstance(value, dict) else value[0]
    return value


@given(JSON)
def test_what_is_not_too_deep_stays_as_it_is(value: Any) -> None:
    text = json.dumps(value).encode()
    assert shallow(text) == text


@given(JSON, st.booleans())
def test_what_stands_beside_something_too_deep_stays_as_it_is(value: Any, lists: bool) -> None:
    beside = json.dumps(value).encode()
    text = b'{"before": %b, "deep": %b, "after": %b}' % (beside, nested(1, 3 * DEPTH, lists=lists), beside)
    found = json.loads(shallow(text))
    assert (found["before"], found["after"]) == (value, value)
    assert deepest(found["deep"], DEPTH - 1) == CUT_OFF


@pytest.mark.parametrize("lists", [False, True])
def test_the_last_level_is_read_and_the_next_one_is_not(lists: bool) -> None:
    assert deepest(json.loads(shallow(nested("a", DEPTH, lists=lists))), DEPTH) == "a"
    assert deepest(json.loads(shallow(nested("a", DEPTH + 1, lists=lists))), DEPTH) == CUT_OFF


def test_as_deep_as_an_api_server_takes_it_is_read_by_python() -> None:
    assert deepest(json.loads(shallow(nested(1, 9_990))), DEPTH) == CUT_OFF


@pytest.mark.parametrize("text", [b"", b"no JSON [[{", b'{"a": "', b"]]}}" * DEPTH, b"[" * 2 * DEPTH])
def test_what_is_no_json_is_left_to_whoever_reads_it(text: bytes) -> None:
    assert shallow(text) == text
