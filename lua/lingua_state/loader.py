"""Read the scripts once and make of each the text that Redis runs: shebang, what it uses of the prelude, itself."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_DEFINITION = re.compile(r"^local function (\w+)\(.*?^end$", re.MULTILINE | re.DOTALL)
_KEY = re.compile(r"^local function (\w+_key)\(([^)]*)\)\n  return ([^\n]*)\nend$", re.MULTILINE)
_TOKEN = re.compile(r"\"[^\"]*\"|[A-Za-z_]\w*")
_PLAIN = re.compile(r"[\w.]+|\"[^\"]*\"")
_LOCAL = re.compile(r"^local function (\w+)\(", re.MULTILINE)
_COMMENT = re.compile(r"--\[\[.*?\]\]|--[^\n]*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")
_PRELUDE = "prelude"
#: Functions that many calls never enter: what they alone need is put inside them, since making a function costs each
#: call that could use it (some 0.15 us).
_RARE = frozenset({"queues", "choose", "node_unfit", "node_failed", "node_recovers"})


@dataclass(frozen=True, slots=True)
class Script:
    """One atomic step: what Redis runs, and the name it goes by there."""

    name: str
    text: str
    sha: str


@cache
def script_names() -> tuple[str, ...]:
    """List the scripts, sorted."""
    return tuple(name for name in _sources() if not name.startswith(_PRELUDE))


@cache
def prelude() -> str:
    """Read what scripts share: every ``prelude*.lua``."""
    return "\n".join(source(name) for name in _sources() if name.startswith(_PRELUDE))


@cache
def load(name: str) -> Script:
    """Make the runnable text of a script.

    :raises KeyError: there is no such script.
    """
    if name not in script_names():
        raise KeyError(f"there is no script {name!r}; it would be scripts/{name}.lua")
    text = assemble(source(name), prelude())
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def source(name: str) -> str:
    """Read a script as it was written."""
    return (_folder() / f"{name}.lua").read_text(encoding="utf-8")


def assemble(script: str, shared: str) -> str:
    """Put the functions of ``shared`` that a script mentions, directly or through another, in front of it.

    A function comes after those it calls, wherever it was written.

    :raises ValueError: the script does not start with ``#!lua``.
    """
    shebang, _, body = script.partition("\n")
    if not shebang.startswith("#!lua"):
        raise ValueError("a script starts with #!lua")
    for name, parameters, expression in _KEY.findall(shared):
        shared, body = (_write_out(text, name, parameters, expression) for text in (shared, body))
    functions = {match[1]: match[0] for match in _DEFINITION.finditer(shared)}
    outer: dict[str, str] = {}
    _collect(body, functions | dict.fromkeys(_RARE & functions.keys(), ""), outer)
    inner = {name: text for name, text in functions.items() if name not in outer}
    for name in _RARE & outer.keys():
        functions[name] = _nest(functions[name], inner)
    used: dict[str, str] = {}
    _collect(body, functions, used)
    return "\n".join([shebang, *used.values(), body])


def _write_out(text: str, name: str, parameters: str, expression: str) -> str:
    """Put the expression of a key function where it is called: a call, and the function, cost more than the name."""

    def written(call: re.Match[str]) -> str:
        given = dict(zip(parameters.split(", "), call[1].split(", "), strict=True))
        return f"({_TOKEN.sub(lambda word: _as_operand(given.get(word[0], word[0])), expression)})"

    return re.sub(rf"(?<!function )\b{name}\(([^()]*)\)", written, text)


def _as_operand(argument: str) -> str:
    return argument if _PLAIN.fullmatch(argument) else f"({argument})"


def _nest(definition: str, functions: dict[str, str]) -> str:
    used: dict[str, str] = {}
    _collect(definition, functions, used)
    head, _, rest = definition.partition("\n")
    return "\n".join([head, *used.values(), rest])


def _collect(text: str, functions: dict[str, str], used: dict[str, str]) -> None:
    own = set(_LOCAL.findall(text))
    words = set(_WORD.findall(_COMMENT.sub("", text))) - own
    for name, definition in functions.items():
        if name in words and name not in used:
            used[name] = ""  # holds the place, so that one that calls itself ends here
            _collect(definition, functions, used)
            del used[name]
            used[name] = definition


def _sources() -> list[str]:
    names = (entry.name for entry in _folder().iterdir())
    return sorted(name.removesuffix(".lua") for name in names if name.endswith(".lua"))


def _folder() -> Traversable:
    return files("lingua_state") / "scripts"
