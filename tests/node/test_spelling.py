from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_node.engines.asr_models import english
from lingua_node.engines.spelling import spanish


@pytest.mark.parametrize(
    ("word", "sounds"),
    [
        ("llave", ("Y AA B EH",)),
        ("guitarra", ("G IY T AA R AA",)),
        ("pingüino", ("P IY N G W IY N OW",)),
        ("quiero", ("K Y EH R OW",)),
        ("niño", ("N IY N Y OW",)),
        ("gente", ("HH EH N T EH",)),
        ("hoy", ("OW IY",)),
        ("estación", ("EH S T AA S Y OW N", "EH S T AA TH Y OW N")),
        ("Zapato", ("S AA P AA T OW", "TH AA P AA T OW")),
    ],
)
def test_spanish_spelling_tells_the_sound(word: str, sounds: tuple[str, ...]) -> None:
    assert spanish(word) == sounds


@pytest.mark.parametrize("word", ["", "h", "привет", "a1", "naïve"])
def test_what_is_not_spanish_has_no_sound(word: str) -> None:
    assert spanish(word) == ()


@given(st.text(alphabet="abcdefghijklmnñopqrstuvwxyzáéíóúü", min_size=1, max_size=20))
def test_every_spanish_word_becomes_sounds_the_recogniser_knows(word: str) -> None:
    known = {
        sound
        for example in (
            "measure",
            "joy",
            "thing",
            "show",
            "cheap",
            "bag",
            "foot",
            "loud",
            "very",
            "hot",
            "yes",
            "how",
            "tube",
            "keep",
            "dog",
            "pot",
            "late",
            "zoo",
            "win",
            "ring",
            "me",
            "air",
            "on",
        )
        for way in english(example)
        for sound in way.split()
    }
    assert {sound for way in spanish(word) for sound in way.split()} <= known
