"""``python -m lingua_operator.uninstall [NAMESPACE...]``: let go of all fleets and nodes: no operator is left.

The chart's Job runs it after an uninstall: the resources of users stay, and without this nobody could ever delete them,
their namespaces or their definitions. No namespace named: the whole cluster. Exit codes: 0 done, 1 it did not work in
time.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from typing import TYPE_CHECKING, Final

from lingua_operator import logs
from lingua_operator.cluster import ClusterError, NotFound, connect
from lingua_operator.farewell import take_finalizers_off
from lingua_operator.settings import KubernetesSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_operator.cluster import Cluster

log = logging.getLogger(__name__)

#: The operator ends at the same time, and may put one on again before it has.
_PAUSE_S: Final = 3.0


async def let_go(cluster: Cluster, namespaces: Sequence[str], within_s: float) -> None:
    """Take our finalizers off until a look finds none.

    :raises ClusterError: refused, or there were new ones again and again for ``within_s``.
    """
    end = time.monotonic() + within_s
    while await _held(cluster, namespaces):
        if time.monotonic() >= end:
            raise ClusterError(f"not done within {within_s:g} s: an operator still runs; end it and try again")
        await asyncio.sleep(_PAUSE_S)


async def _held(cluster: Cluster, namespaces: Sequence[str]) -> int:
    try:
        return await take_finalizers_off(cluster, namespaces)
    except NotFound:
        return 0  # the definitions went with the release, and every resource with them


async def _run(namespaces: Sequence[str], within_s: float) -> None:
    cluster = await connect(KubernetesSettings())
    try:
        await let_go(cluster, namespaces, within_s)
    finally:
        await cluster.close()


def main() -> int:
    """Run the program; tell in a sentence why it did not work."""
    parser = argparse.ArgumentParser(prog="python -m lingua_operator.uninstall", description=__doc__)
    parser.add_argument("namespaces", nargs="*", metavar="NAMESPACE")
    parser.add_argument("--within-s", type=float, default=60.0, help="seconds to try")
    arguments = parser.parse_args()
    logs.set_up()
    try:
        asyncio.run(_run(arguments.namespaces, arguments.within_s))
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
