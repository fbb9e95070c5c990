"""What holds for every suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from kit.workers import Shares, turn

if TYPE_CHECKING:
    from xdist.remote import Producer

# The Kubernetes API server (bed, namespace); it starts when the first test asks for it.
pytest_plugins = ["kit.kube.fixtures"]

# A busy machine must not fail a property: time is measured in bench/, not here. A failure prints how to repeat it.
settings.register_profile("lingua", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lingua")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Shares:
    """Share out the tests among the workers, where there are several."""
    return Shares(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, where there are several workers."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: turn(item.nodeid))
