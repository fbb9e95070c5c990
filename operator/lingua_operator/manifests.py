"""``python -m lingua_operator.manifests apply|remove FILE``: bring resources of ours from a JSON file into the cluster.

The chart's Job runs it after the definitions of the resources were made, which may be seconds old; before an uninstall
it removes them and waits until the operator has drained what they were. Exit codes: 0 done, 1 it did not work in time.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from lingua_operator import logs
from lingua_operator.cluster import FLEETS, NODES, Body, Cluster, ClusterError, Kind, NotFound, connect
from lingua_operator.settings import KubernetesSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

log = logging.getLogger(__name__)

KINDS: Final = {kind.kind: kind for kind in (FLEETS, NODES)}
_PAUSE_S: Final = 1.0


class BadManifest(ValueError):
    """The file holds something else than our resources."""


def read(text: str) -> list[tuple[Kind, Body]]:
    """Read a resource, or a list of them.

    :raises BadManifest: the text is no JSON, or one is of another kind, or has no name or namespace.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadManifest(f"the file is no JSON: {error}") from error
    return [_known(document) for document in (found if isinstance(found, list) else [found])]


async def apply(cluster: Cluster, found: Sequence[tuple[Kind, Body]], within_s: float) -> None:
    """Make them, or bring them to what is written; waits for definitions that are not served yet.

    :raises ClusterError: refused, or not within ``within_s``.
    """
    for kind, body in found:
        await _until(partial(_applied, cluster, kind, body), within_s)
        log.info("applied", extra={"kind": kind.kind, "namespace": body["metadata"]["namespace"]})


async def remove(cluster: Cluster, found: Sequence[tuple[Kind, Body]], within_s: float) -> None:
    """Delete them and wait until they are gone, which is after the operator drained them.

    :raises ClusterError: refused, or still there after ``within_s``.
    """
    for kind, body in found:
        metadata = body["metadata"]
        await cluster.delete(kind, metadata["namespace"], metadata["name"])
    for kind, body in found:
        await _until(partial(_gone, cluster, kind, body), within_s)
        log.info("removed", extra={"kind": kind.kind, "namespace": body["metadata"]["namespace"]})


async def _applied(cluster: Cluster, kind: Kind, body: Body) -> bool:
    try:
        await cluster.apply(kind, await _with_replicas(cluster, kind, body))
    except NotFound:
        return False
    return True


async def _with_replicas(cluster: Cluster, kind: Kind, body: Body) -> Body:
    """Write a fleet's number again as it is where the file leaves it to an autoscaler: left out where an earlier file
    of ours had one, it would fall to the default."""
    spec = body.get("spec", {})
    if kind is not FLEETS or "replicas" in spec:
        return body
    try:
        found = await cluster.get(kind, body["metadata"]["namespace"], body["metadata"]["name"])
    except NotFound:
        return body
    return {**body, "spec": {**spec, "replicas": found["spec"]["replicas"]}}


async def _gone(cluster: Cluster, kind: Kind, body: Body) -> bool:
    try:
        await cluster.get(kind, body["metadata"]["namespace"], body["metadata"]["name"])
    except NotFound:
        return True
    return False


async def _until(done: Callable[[], Awaitable[bool]], within_s: float) -> None:
    end = time.monotonic() + within_s
    while not await done():
        if time.monotonic() >= end:
            raise ClusterError(f"not done within {within_s:g} s")
        await asyncio.sleep(_PAUSE_S)


def _known(document: object) -> tuple[Kind, Body]:
    if not isinstance(document, dict) or document.get("kind") not in KINDS:
        raise BadManifest(f"only {' and '.join(sorted(KINDS))} can be applied")
    kind = KINDS[document["kind"]]
    metadata = document.get("metadata")
    if document.get("apiVersion") != kind.api_version or not isinstance(metadata, dict):
        raise BadManifest(f"a {kind.kind} is of {kind.api_version} and has metadata")
    if not (metadata.get("name") and metadata.get("namespace")):
        raise BadManifest(f"a {kind.kind} has a name and a namespace here")
    return kind, document


async def _run(task: str, text: str, within_s: float) -> None:
    found = read(text)
    cluster = await connect(KubernetesSettings())
    try:
        await (apply if task == "apply" else remove)(cluster, found, within_s)
    finally:
        await cluster.close()


def main() -> int:
    """Run the program; tell in a sentence why it did not work."""
    parser = argparse.ArgumentParser(prog="python -m lingua_operator.manifests", description=__doc__)
    parser.add_argument("task", choices=("apply", "remove"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--within-s", type=float, default=90.0, help="seconds to wait")
    arguments = parser.parse_args()
    logs.set_up()
    try:
        asyncio.run(_run(arguments.task, arguments.file.read_text(), arguments.within_s))
    except (ClusterError, BadManifest) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
