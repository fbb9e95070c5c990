from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_node.engines import apertium

DIRECT = {("en", "es"), ("en", "ca"), ("ca", "es"), ("es", "en"), ("en", "eo")}


@pytest.mark.parametrize(
    ("pair", "pivots", "route"),
    [
        (("en", "es"), {}, ("en", "es")),
        (("en", "es"), {("en", "es"): "ca"}, ("en", "ca", "es")),
        (("en", "es"), {("en", "es"): "fr"}, ("en", "es")),
        (("es", "eo"), {}, ("es", "en", "eo")),
        (("ca", "eo"), {}, ("ca", "es", "en", "eo")),
        (("eo", "en"), {}, ()),
    ],
)
def test_the_shortest_way_is_taken_unless_a_pivot_is_asked_for(
    pair: tuple[str, str], pivots: dict[tuple[str, str], str], route: tuple[str, ...]
) -> None:
    assert apertium.route_of(pair, DIRECT, pivots) == route


@given(st.text(max_size=60))
def test_what_is_prepared_comes_back(text: str) -> None:
    prepared, added = apertium.prepare(text)
    assert prepared.endswith("\n")
    assert "\0" not in prepared
    plain = " ".join(text.replace("\0", " ").split())
    assert apertium.tidy(prepared, full_stop_added=added) == plain
