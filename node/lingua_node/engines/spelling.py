"""Say Spanish words with the sounds of the English recogniser. Pure.

Spanish spelling tells the sound, so rules are enough. The sounds are only the nearest ones that English has (ARPAbet):
good enough to tell some hundred phrases apart, not for open speech.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOFT = "eiéí"
_RULES = tuple(
    (re.compile(pattern), sound)
    for pattern, sound in (
        ("ch", "CH"),
        ("ll", "Y"),
        ("rr", "R"),
        ("qu", "K"),
        (f"gu(?=[{_SOFT}])", "G"),
        ("gü", "G W"),
        (f"g(?=[{_SOFT}])", "HH"),
        (f"c(?=[{_SOFT}])", "S|TH"),
        ("z", "S|TH"),
        ("x", "K S"),
        ("h", ""),
        ("ñ", "N Y"),
        ("j", "HH"),
        ("v", "B"),
        ("c", "K"),
        ("i(?=[aeouáéóú])", "Y"),
        ("u(?=[aeioáéíó])", "W"),
        (r"y(?=\w)", "Y"),
        ("y", "IY"),
        ("[aá]", "AA"),
        ("[eé]", "EH"),
        ("[ií]", "IY"),
        ("[oó]", "OW"),
        ("[uúü]", "UW"),
        ("[bdfgklmnprstw]", None),
    )
)


def spanish(word: str) -> tuple[str, ...]:
    """Give the ways to say a Spanish word, each a line of sounds; empty when a letter is not Spanish.

    A word with ``z`` or a soft ``c`` has two: as said in America, and as said in Spain.
    """
    sounds = list(_sounds(word.lower()))
    if None in sounds:
        return ()
    line = " ".join(sound for sound in sounds if sound)
    return tuple(dict.fromkeys((line.replace("S|TH", "S"), line.replace("S|TH", "TH")))) if line else ()


def _sounds(word: str) -> Iterator[str | None]:
    at = 0
    while at < len(word):
        end, sound = _next(word, at)
        yield sound
        at = end


def _next(word: str, at: int) -> tuple[int, str | None]:
    for pattern, sound in _RULES:
        if found := pattern.match(word, at):
            return found.end(), found.group().upper() if sound is None else sound
    return len(word), None
