"""JSON of the API server with a bound on how deep it is nested. Pure.

The API server takes a pod template that is nested ten thousand levels deep. Whoever may write one resource could so
bring down every reader that follows it down, and this operator with all its other resources: what is deeper than
:data:`DEPTH` is cut off before it is read, and :mod:`lingua_operator.resource` refuses the template that it was in.
"""

from __future__ import annotations

import re
from typing import Final

#: Levels that are read: a pod's own fields need some twenty, and a list of resources two more.
DEPTH: Final = 64
#: Stands in place of what was cut off.
CUT_OFF: Final = "(nested too deep to be read)"

_STRING: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_STRINGS: Final = re.compile(_STRING, re.DOTALL)
_TOKENS: Final = re.compile(_STRING + rb"|[][{}]", re.DOTALL)
_BESIDE_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def shallow(text: bytes) -> bytes:
    """Give JSON back as it is, or with what is nested too deep replaced by :data:`CUT_OFF`."""
    return _cut(text) if _is_deep(text) else text


def _is_deep(text: bytes) -> bool:
    """Tell whether anything is too deep: brackets that meet are taken away, a level at a time."""
    if text.count(b"{") + text.count(b"[") <= DEPTH:
        return False
    brackets = _STRINGS.sub(b"", text).translate(None, _BESIDE_BRACKETS)
    for _ in range(DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return bool(brackets)


def _cut(text: bytes) -> bytes:
    kept: list[bytes] = []
    depth, begin = 0, 0
    for found in _TOKENS.finditer(text):
        token = found.group()
        if token in (b"{", b"["):
            depth += 1
            if depth == DEPTH + 1:
                kept += text[begin : found.start()], b'"', CUT_OFF.encode(), b'"'
        elif token in (b"}", b"]"):
            depth -= 1
            if depth == DEPTH:
                begin = found.end()
    return b"".join([*kept, text[begin:]]) if depth <= DEPTH else text
