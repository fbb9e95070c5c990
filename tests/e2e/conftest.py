"""Two schedulers on one Valkey for all tests here; each test has a language pair, and so nodes, of its own."""

from __future__ import annotations

from itertools import count, product
from string import ascii_lowercase
from typing import TYPE_CHECKING

import pytest

from kit.schedulers import Cluster, cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Codes for private use: nobody else's nodes offer them.
_CODES = [f"q{a}{b}" for a, b in product(ascii_lowercase[:20], ascii_lowercase)]
_numbers = count()


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two schedulers whose waits are short."""
    with cluster(tmp_path_factory.mktemp("two"), job_wait_ms=2_500, job_offer_ms=1_000) as running:
        yield running


@pytest.fixture
def pair() -> tuple[str, str]:
    """Two languages that no other test uses."""
    number = next(_numbers)
    return _CODES[2 * number], _CODES[2 * number + 1]
