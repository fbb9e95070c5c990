from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from lingua_state.loader import assemble, load, script_names

if TYPE_CHECKING:
    from lingua_state.client import Store

SHARED = """
local function outer(x)
  return inner(x) + 1
end

local function inner(x)
  return x * 2
end

local function unused()
  return outer(1)
end
"""


def test_a_script_gets_what_it_mentions_and_nothing_else() -> None:
    text = assemble("#!lua\nreturn inner(1)\n", SHARED)
    assert text.startswith("#!lua\nlocal function inner")
    assert "outer" not in text
    assert "unused" not in text


def test_a_function_comes_after_the_ones_it_calls() -> None:
    text = assemble("#!lua\nreturn outer(1)\n", SHARED)
    assert text.index("function inner") < text.index("function outer") < text.index("return outer(1)")
    assert "unused" not in text


@pytest.mark.parametrize("comment", ["-- inner would do", "--[[ inner\n does ]]"])
def test_a_function_named_in_a_comment_costs_nothing(comment: str) -> None:
    assert "function inner" not in assemble(f"#!lua\n{comment}\nreturn 1\n", SHARED)


async def test_assembled_functions_run(store: Store) -> None:
    text = assemble("#!lua\nreturn outer(tonumber(ARGV[1]))\n", SHARED)
    assert await store.call("EVAL", text, 1, store.keys.epoch(), 20) == 41


def test_the_flags_of_a_script_stay_in_its_first_line() -> None:
    assert assemble("#!lua flags=no-writes\nreturn 1\n", SHARED).startswith("#!lua flags=no-writes\n")


def test_a_script_without_the_shebang_is_refused() -> None:
    with pytest.raises(ValueError, match="#!lua"):
        assemble("return 1", SHARED)


def test_a_script_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="no_such_script"):
        load("no_such_script")


def test_the_prelude_is_not_a_script() -> None:
    assert script_names()
    assert not [name for name in script_names() if name.startswith("prelude")]


@pytest.mark.parametrize("name", script_names())
async def test_the_server_names_a_script_as_we_do(valkey_store: Store, name: str) -> None:
    script = load(name)
    assert script.sha == hashlib.sha1(script.text.encode()).hexdigest()
    assert await valkey_store.call("SCRIPT", "LOAD", script.text) == script.sha


def test_what_only_a_rare_function_needs_is_made_inside_it() -> None:
    shared = "\n".join(
        f"local function {name}()\n  {body}\nend"
        for name, body in (("far", "return 1"), ("near", "return 2"), ("queues", "return far() + near()"))
    )
    text = assemble("#!lua\nreturn near() + queues()", shared)
    assert text.index("local function near") < text.index("local function queues") < text.index("local function far")
    assert text.count("local function") == 3
