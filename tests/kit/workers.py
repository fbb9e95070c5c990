"""How a run with several workers (pytest-xdist) shares out the tests.

The tests of a file stay together, in their order: they share servers. So do all that need the Kubernetes API server, of
which one is enough. That long row begins first, and then the files that take longest, so that no worker ends late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer

KUBERNETES = "kubernetes"
_KUBERNETES = (
    "tests/operator_/",
    "tests/chart/test_security.py",
    "tests/chart/test_server.py",
    "tests/e2e/test_service_accounts.py",
)
#: Each takes half a minute and more.
_LONG = ("tests/client/", "tests/e2e/", "tests/node/")


class Shares(LoadScopeScheduling):  # type: ignore[misc]  # xdist comes without types
    """One share of work for each file, and one for the API server."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False  # the order is that of :func:`turn`
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return share(nodeid)


def share(nodeid: str) -> str:
    """Name the share that a test belongs to."""
    return KUBERNETES if nodeid.startswith(_KUBERNETES) else nodeid.partition("::")[0]


def turn(nodeid: str) -> int:
    """Tell how late a test may begin: 0 is first."""
    if share(nodeid) == KUBERNETES:
        return 0
    return 1 if nodeid.startswith(_LONG) else 2
