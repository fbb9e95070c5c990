"""Checks of names at the edge: ids become parts of Redis keys, so braces, spaces and commas never pass."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import StringConstraints

from lingua_wire import limits

ID_PATTERN: Final = rf"^[A-Za-z0-9._:-]{{1,{limits.ID_CHARS}}}$"
#: BCP 47 (RFC 5646) as far as speech needs it: language, script, region, variants.
LANGUAGE_PATTERN: Final = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$"
AUTO: Final = "auto"

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Language = Annotated[str, StringConstraints(pattern=LANGUAGE_PATTERN, max_length=35)]

_id = re.compile(ID_PATTERN.replace("$", r"\Z"))
_language = re.compile(LANGUAGE_PATTERN.replace("$", r"\Z"))


def is_id(text: str) -> bool:
    """Tell whether ``text`` may be an id."""
    return _id.match(text) is not None


def is_language(text: str) -> bool:
    """Tell whether ``text`` has the form of a language code (``auto`` is one by form)."""
    return _language.match(text) is not None


def normal_language(code: str) -> str:
    """Write a language code the way RFC 5646 2.1.1 recommends: ``zh-hans-cn`` becomes ``zh-Hans-CN``."""
    first, *rest = code.split("-")
    return "-".join([first.lower(), *(_normal_subtag(part) for part in rest)])


def _normal_subtag(part: str) -> str:
    if len(part) == 2:
        return part.upper()
    if len(part) == 4:
        return part.title()
    return part.lower()
