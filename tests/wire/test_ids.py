from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_wire.ids import is_id, is_language, normal_language


@pytest.mark.parametrize("text", ["a", "job-1", "c0:j.1_X", "x" * 128])
def test_plain_names_are_ids(text: str) -> None:
    assert is_id(text)


@given(st.text(max_size=8))
def test_nothing_that_could_break_a_key_is_an_id(text: str) -> None:
    plain = all(char.isascii() and (char.isalnum() or char in "._:-") for char in text)
    assert is_id(text) is (text != "" and plain)


@pytest.mark.parametrize("text", ["", "x" * 129, "a\n", "\na"])
def test_length_and_line_ends_count(text: str) -> None:
    assert not is_id(text)


@pytest.mark.parametrize("text", ["en", "haw", "zh-CN", "zh-Hans-CN", "auto"])
def test_codes_of_languages_are_languages(text: str) -> None:
    assert is_language(text)


@pytest.mark.parametrize("text", ["", "e", "en-", "en:es", "{en}", "en es", "en\n", "12"])
def test_other_texts_are_no_languages(text: str) -> None:
    assert not is_language(text)


@pytest.mark.parametrize(
    ("given_code", "normal"), [("EN", "en"), ("zh-hans-cn", "zh-Hans-CN"), ("es-419", "es-419"), ("AUTO", "auto")]
)
def test_a_language_has_one_way_to_be_written(given_code: str, normal: str) -> None:
    assert normal_language(given_code) == normal
    assert normal_language(normal) == normal
