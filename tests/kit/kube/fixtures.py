"""The fixtures of the bed: one API server for a whole test run, a namespace for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.kube.bed import Bed


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Run one API server for all tests that ask for it."""
    from kit.kube.bed import kubernetes

    with kubernetes(tmp_path_factory.mktemp("kubernetes")) as running:
        yield running


@pytest.fixture
def namespace(bed: Bed) -> Iterator[str]:
    """Make a namespace and take it away afterwards, without waiting for that."""
    from kit.kube.api import path

    name = bed.namespace()
    yield name
    bed.api.delete(path("namespaces", name=name, group="v1"))
