"""One release of the chart in the test cluster, installed as its users install it: with helm and values."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.kind_kube import CommandFailed, Kube, run
from kit.kind_speech import URL, Speaker, say_once
from lingua_client import LinguaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lingua_client import Result

CHART = Path(__file__).parents[2] / "charts" / "lingua"
NODE_PORT = 30510

Values = dict[str, Any]

#: All pods share one machine with whatever else runs on it: its being full is no reason to give none work, and what
#: waits there for a processor shall wait, not be given up. Nobody is sent away for keeping quiet meanwhile.
_PATIENT = {
    "LINGUA_NODES_MEMORY_PERCENT": "0",
    "LINGUA_JOB_WAIT_MS": "60000",
    "LINGUA_SESSION_IDLE_WARN_MS": "1800000",
    "LINGUA_SESSION_IDLE_CLOSE_MS": "1900000",
}


def image(part: str, tag: str) -> Values:
    """Name one of the images that `setup/kind images` loaded, as the chart wants it."""
    return {"repository": f"localhost/lingua-{part}", "tag": tag}


def image_name(part: str, tag: str) -> str:
    """Name one of these images as a pod wants it."""
    return f"localhost/lingua-{part}:{tag}"


def values(tag: str, node_port: int | None = NODE_PORT) -> Values:
    """Choose what suits a small cluster: everything bundled, one node, little CPU asked for, the port of URL."""
    service = {"type": "NodePort", "nodePort": node_port} if node_port else {"type": "ClusterIP"}
    little = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "2Gi"}}
    return {
        "scheduler": {
            "image": image("scheduler", tag),
            "service": service,
            "resources": little,
            # Half of them are ten, for what scales on sessions; it is here so that scaling alone replaces no pod.
            "maxSessionsPerPod": 20,
            "settings": _PATIENT,
        },
        "operator": {"image": image("operator", tag), "resources": little},
        "node": {"enabled": True, "image": image("node", tag), "resources": little},
        "redis": {"bundled": {"enabled": True, "image": image("valkey", tag)}},
        "auth": {"nodes": {"tokenReview": True}},
    }


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Values:
    """Lay changes over values, as helm does with several files."""
    both = {name: value for name, value in changes.items() if not isinstance(value, dict)}
    deep = {name: merged(base.get(name) or {}, value) for name, value in changes.items() if isinstance(value, dict)}
    return {**base, **both, **deep}


@dataclass(frozen=True, slots=True)
class Release:
    """A release in a namespace of its own."""

    name: str
    kube: Kube
    values: Values

    async def install(self) -> None:
        """Install it and wait for its pods.

        :raises CommandFailed: helm says why.
        """
        await self._helm("install", "--create-namespace", values_=self.values)

    async def upgrade(self, changes: Mapping[str, Any], *options: str) -> None:
        """Install the same chart again with some values changed, and wait for its pods."""
        await self._helm("upgrade", *options, values_=merged(self.values, changes))

    async def test(self) -> str:
        """Run `helm test` and return what it printed."""
        command = ("helm", "test", self.name, "-n", self.kube.namespace, "--logs", "--timeout", "4m")
        return await run(*command, within_s=300)

    async def remove(self) -> None:
        """Delete the release with its namespace, whatever is left of it; the resources first."""
        await self._quietly("kubectl", "-n", self.kube.namespace, "delete", "tfleet,tnode", "--all", "--timeout=60s")
        options = ("--ignore-not-found", "--wait", "--timeout", "3m")
        await self._quietly("helm", "uninstall", self.name, "-n", self.kube.namespace, *options)
        await run("kubectl", "delete", "namespace", self.kube.namespace, "--ignore-not-found", within_s=240)

    async def _helm(self, verb: str, *options: str, values_: Values) -> None:
        place = ("-n", self.kube.namespace, "--wait", "--timeout", "3m")
        command = ("helm", verb, self.name, str(CHART), *place, *options, "-f", "-")
        try:
            await run(*command, stdin=json.dumps(values_), within_s=200)
        except CommandFailed as failed:
            raise CommandFailed(f"{failed}\n{await self.kube.overview()}") from None

    async def _quietly(self, *command: str) -> None:
        try:
            await run(*command, within_s=240)
        except CommandFailed as failed:
            print(failed)  # noqa: T201 - the namespace is deleted next, which tells what is stuck


@dataclass(frozen=True, slots=True)
class Installed:
    """The release, and what its installation was like."""

    release: Release
    kube: Kube
    #: From the start of `helm install` to its end, and to the first translated utterance.
    helm_s: float
    first_utterance_s: float
    first_result: Result


async def first_result(url: str = URL, within_s: float = 180.0) -> Result:
    """Say a sentence as soon as the service takes it: until the first node is there it refuses the pair."""
    end = time.monotonic() + within_s
    while True:
        try:
            return await say_once(Speaker(url=url))
        except (LinguaError, TimeoutError, AssertionError) as refused:
            if time.monotonic() > end:
                raise AssertionError(f"no utterance within {within_s:g} s; last: {refused!r}") from refused
            await asyncio.sleep(0.5)


def built_tag() -> str:
    """Tell which images were loaded."""
    tag = os.environ.get("LINGUA_E2E_TAG", "")
    assert tag, "no LINGUA_E2E_TAG: these tests are run by `make e2e`"
    return tag
