"""The header of a script is its contract: what it says is compared with what the script does. Keep scripts plain."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lingua_state
from kit.script_table import PAGE, with_table
from lingua_state.loader import assemble, prelude, script_names, source

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = sorted(Path(str(lingua_state.__file__)).parent.glob("*.py"))
TYPES = {"string", "hash", "set", "zset", "stream", "list"}


def problems(name: str, script: str) -> Iterator[str]:
    """Name everything that is wrong with a script."""
    header, body = split(script)
    if not re.match(rf"#!lua( flags=no-writes)?\n--\[\[\n{re.escape(name)}: \S", script):
        yield "its first line does not name it"
    for kind in ("KEYS", "ARGV"):
        yield from parameter_problems(kind, header, body)
    for word in re.findall(r"^KEYS\[\d+\]\s+(\w+)", header, re.MULTILINE):
        if word not in TYPES:
            yield f"a key is of no known type: {word}"
    yield from outcome_problems(header, script, body)
    yield from name_problems(header, body)
    for section in ("Clock", "Repeat"):
        if not re.search(rf"^{section}\s+\S", header, re.MULTILINE):
            yield f"it does not say: {section}"


def split(script: str) -> tuple[str, str]:
    header, _, body = script.partition("]]")
    return header, re.sub(r"--\[\[.*?\]\]|--[^\n]*", "", body, flags=re.DOTALL)


def parameter_problems(kind: str, header: str, body: str) -> Iterator[str]:
    told = [int(number) for number in re.findall(rf"^{kind}\[(\d+)\]\s+\S", header, re.MULTILINE)]
    used = {int(number) for number in re.findall(rf"\b{kind}\[(\d+)\]", body)}
    if told != list(range(1, len(told) + 1)):
        yield f"{kind} is not told in order: {told}"
    many = re.search(rf"^{kind}\[\d+\.\.n\]\s+\S", header, re.MULTILINE) is not None
    if many != (re.search(rf"#{kind}\b|\b{kind}\[[^\d\]]|\b{kind}\b[^\[]", body) is not None):
        yield f"{kind} of any number: told or used, not both"
    if missing := used - set(told):
        yield f"{kind} used and not told: {sorted(missing)}"
    # A key that the script makes again from an id, by a shared function, says so.
    repeated = {int(number) for number in re.findall(rf"the same as in {kind}\[(\d+)\]", header)}
    if idle := set(told) - used - repeated:
        yield f"{kind} told and not used: {sorted(idle)}"


def outcome_problems(header: str, script: str, body: str) -> Iterator[str]:
    returns = re.search(r"^Returns\b(.*?)^\w", header, re.MULTILINE | re.DOTALL)
    told = set(re.findall(r'\{"(\w+)"', returns[1] if returns else ""))
    given = returned(body) | (returned(shared(script)) if re.search(r"\banswer\(", body) else set())
    if missing := given - told:
        yield f"returned and not told: {sorted(missing)}"
    if idle := told - given:
        yield f"told and not returned: {sorted(idle)}"
    if unknown := {word for word in told if not is_known(word)}:
        yield f"no Python knows the outcome: {sorted(unknown)}"
    if not told:
        yield "it tells no outcome"


def returned(code: str) -> set[str]:
    """List the outcomes in what is returned: the first of ``return { ... }`` or of ``reply = { ... }``."""
    lines = re.findall(r"(?:\breturn|\breply =)\s.*$", code, re.MULTILINE)
    firsts = [first for line in lines for first in re.findall(r"\{([^,}]*)", line)]
    return {word for first in firsts for word in re.findall(r'(?:^|\band|\bor)\s*"([a-z_]+)"', first)}


def shared(script: str) -> str:
    """Get what the loader puts in front of a script; a function called ``answer`` makes a reply."""
    return assemble(script, prelude()).removesuffix(script.partition("\n")[2])


def name_problems(header: str, body: str) -> Iterator[str]:
    roots = re.findall(r"^ARGV\[(\d+)\]\s+s?root\b", header, re.MULTILINE)
    root = "|".join([r"KEYS\[\d+\]", r"\bs?root\b", *(rf"ARGV\[{number}\]" for number in roots)])
    if re.search(rf"({root})\s*\.\.|\.\.\s*({root})", body):
        yield "it builds a key from a root"
    if re.search(r'"[^"\n]*:[^"\n]*"\s*\.\.|\.\.\s*"[^"\n]*:[^"\n]*"', body):
        yield "it builds a key from text"
    if re.search(r'redis\.p?call\(\s*"[A-Z]+"\s*,\s*"', body):
        yield "it names a key by itself"


def is_known(outcome: str) -> bool:
    """Tell whether Python handles an outcome, or says in a docstring what it means."""
    return re.search(rf"\b{outcome.replace('_', '[ _]')}\b", python_texts()) is not None


@cache
def python_texts() -> str:
    constants = (
        node.value
        for path in PYTHON
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return "\n".join(constants)


@pytest.mark.parametrize("name", script_names())
def test_a_script_does_what_its_header_says(name: str) -> None:
    assert list(problems(name, source(name))) == []


@pytest.mark.parametrize(
    ("change", "to", "problem"),
    [
        ('return { "missing" }', 'return { "lost_somewhere" }', "returned and not told: ['lost_somewhere']"),
        ("ARGV[3]  ttl_ms", "ARGV[4]  ttl_ms", "ARGV is not told in order: [1, 2, 4]"),
        ('"ZADD", KEYS[2]', '"ZADD", KEYS[1] .. "x"', "it builds a key from a root"),
        ('"ZADD", KEYS[2]', '"ZADD", "lingua:v1:sessions"', "it names a key by itself"),
        ('redis.call("ZADD", KEYS[2]', 'redis.call("ZADD", KEYS[1]', "KEYS told and not used: [2]"),
        ("session_touch: ", "session_renew: ", "its first line does not name it"),
        ("Repeat   safe", "Again    safe", "it does not say: Repeat"),
        ("KEYS[2]  zset", "KEYS[2]  tree", "a key is of no known type: tree"),
        ("ARGV[3]  ttl_ms", "ARGV[3..n]  ttl_ms", "ARGV of any number: told or used, not both"),
        ('{"replaced", generation}', '{"superseded", generation}', "no Python knows the outcome: ['superseded']"),
    ],
)
def test_a_header_that_lies_is_caught(change: str, to: str, problem: str) -> None:
    good = source("session_touch")
    assert change in good
    found = list(problems("session_touch", good.replace(change, to)))
    assert problem in found


def test_no_lua_is_put_together_in_python() -> None:
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr | ast.BinOp):
                text = " ".join(
                    part.value
                    for part in ast.walk(node)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                )
                assert "redis.call" not in text, f"{path.name}:{node.lineno}"
                assert "#!lua" not in text, f"{path.name}:{node.lineno}"


def test_only_the_loader_makes_the_text_of_a_script() -> None:
    users = {path.name for path in PYTHON if re.search(r"\bEVAL\b|SCRIPT.*LOAD", path.read_text(encoding="utf-8"))}
    assert users <= {"runner.py", "server.py"}


def test_every_shared_function_is_used_by_a_script() -> None:
    used = "\n".join(assemble(source(name), prelude()) for name in script_names())
    functions = re.findall(r"^local function (\w+)\(", prelude(), re.MULTILINE)
    written_out = {name for name in functions if name.endswith("_key")}
    assert [name for name in functions if name not in written_out and f"local function {name}(" not in used] == []
    texts = "\n".join([prelude(), *(source(name) for name in script_names())])
    assert [name for name in written_out if len(re.findall(rf"\b{name}\(", texts)) < 2] == []
    assert [name for name in written_out if f"{name}(" in used] == []


def test_the_page_lists_the_scripts_as_their_headers_tell_them() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "run .venv/bin/python tests/kit/script_table.py"
    assert all(f"| `{name}` | " in page for name in script_names())
