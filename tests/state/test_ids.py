from __future__ import annotations

import re

import pytest

from lingua_state import ids


@pytest.mark.parametrize("make", [ids.new_incarnation, ids.new_epoch, ids.new_session_id, ids.new_job_id])
def test_ids_are_128_random_bits_and_safe_in_keys(make: object) -> None:
    assert callable(make)
    made = {make() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"[0-9a-f]{32}", identifier) for identifier in made)
    # No bit of a counter or a clock: each hex digit takes every value.
    assert all(len({identifier[at] for identifier in made}) == 16 for at in range(32))


@pytest.mark.parametrize("make", [ids.new_session_id, ids.new_job_id])
def test_an_id_tells_its_cell(make: object) -> None:
    assert callable(make)
    assert ids.cell_of(make("c7")) == "c7"
    assert ids.cell_of(make("")) == ""
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", make("c7"))
