"""One release of the chart for all tests here, in a real cluster; `make e2e` makes both."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from kit.kind_kube import EVIDENCE, Kube
from kit.kind_release import Installed, Release, built_tag, first_result, values

#: Each test does many things in a cluster on a machine that may be busy.
TIMEOUT_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test here its marker and its time; the installation is looked at before anything is broken."""
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        item.add_marker(pytest.mark.kind)
        item.add_marker(pytest.mark.timeout(TIMEOUT_S))
    items.sort(key=lambda item: here in item.path.parents and item.path.name != "test_install.py")


@pytest.fixture(scope="session")
def lingua() -> Installed:
    """Lingua, freshly installed. Nothing tidies up: the cluster is deleted next, or kept to be looked at."""
    EVIDENCE.unlink(missing_ok=True)
    release = Release("lingua", Kube("lingua"), values(built_tag()))
    return asyncio.run(_installed(release))


async def _installed(release: Release) -> Installed:
    await release.remove()
    started = time.monotonic()
    await release.install()
    helm_s = time.monotonic() - started
    result = await first_result()
    return Installed(release, release.kube, helm_s, time.monotonic() - started, result)
