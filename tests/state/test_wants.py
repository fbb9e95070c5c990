from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.state import can, want
from lingua_state.models import Pair
from lingua_state.pools import pair_names
from lingua_state.wants import Want, read_want, want_of

WORDS = st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True)


@given(
    st.builds(Pair, WORDS, WORDS),
    st.lists(WORDS, max_size=3, unique=True),
    st.booleans(),
    st.one_of(st.just(""), WORDS),
    st.one_of(st.none(), WORDS),
)
def test_a_want_is_read_as_it_was_written(
    pair: Pair, languages: list[str], both_ways: bool, tenant: str, pairing: str | None
) -> None:
    written = Want(pair, tuple(languages), both_ways and bool(languages), tenant, pairing)
    assert read_want(str(written)) == written


def test_languages_count_only_where_the_source_is_open() -> None:
    assert str(want_of(want(languages=("en", "de")))) == "en:es"
    assert str(want_of(want(pair=Pair("auto", "es"), languages=("en", "de", "en")))) == "auto:es[de,en]"
    both = want(pair=Pair("auto", "es"), languages=("es", "en"), both_ways=True, tenant="acme", pairing="abc")
    assert str(want_of(both)) == "auto:es<en,es>@acme#abc"


@pytest.mark.parametrize("bad", ["", "a b", "a:b", "a@b", "a#b", "a{b", "a[b", "a,b"])
def test_a_name_that_would_change_the_meaning_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="not a language"):
        want_of(want(pair=Pair(bad, "es")))
    if bad:
        with pytest.raises(ValueError, match="not a language"):
            want_of(want(tenant=bad))


def test_both_directions_need_two_languages() -> None:
    with pytest.raises(ValueError, match="two languages"):
        want_of(want(both_ways=True, languages=("en",)))
    with pytest.raises(ValueError, match="not a want"):
        read_want("nothing")


def test_a_class_is_listed_in_the_scopes_of_who_may_use_it() -> None:
    assert pair_names(can("en de", "es", auto=True)) == ["de:es", "en:es", "auto:es"]
    assert pair_names(can(public=False, tenants=("b", "a"))) == ["en:es@a", "en:es@b"]
    assert pair_names(can(public=False, pairing="abc")) == ["en:es#abc", "*#abc"]
    assert pair_names(can("es", "es")) == []
