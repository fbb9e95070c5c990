"""The test cluster as its users see it: kubectl, in one namespace. Runs beside the cluster (`setup/kind in`)."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Object = dict[str, Any]

#: What people would have seen, with times: material for the documentation, and for whoever looks at a failed run.
EVIDENCE = Path(__file__).parents[2] / "build" / "e2e" / "evidence.txt"


class CommandFailed(AssertionError):
    """A command ended with an error; the message holds what it said."""


async def run(*command: str, stdin: str | None = None, within_s: float = 120.0) -> str:
    """Run a command and return what it printed.

    :raises CommandFailed: it failed, or took too long.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        said = await asyncio.wait_for(process.communicate(stdin.encode() if stdin else b""), within_s)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise CommandFailed(f"not done within {within_s:g} s: {' '.join(command)}") from None
    printed, complaint = (part.decode(errors="replace") for part in said)
    if process.returncode:
        raise CommandFailed(f"{' '.join(command)}: exit {process.returncode}\n{printed}{complaint}")
    return printed


@dataclass(frozen=True, slots=True)
class Kube:
    """kubectl in one namespace."""

    namespace: str

    async def ctl(self, *arguments: str, stdin: str | None = None, within_s: float = 120.0) -> str:
        """Run kubectl and return what it printed.

        :raises CommandFailed: it failed.
        """
        return await run("kubectl", "-n", self.namespace, *arguments, stdin=stdin, within_s=within_s)

    async def get(self, kind: str, name: str) -> Object | None:
        """Read an object; None when there is none of that name."""
        text = await self.ctl("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    async def list(self, kind: str, **labels: str) -> list[Object]:
        """List the objects of a kind that have these labels (``a_b__c`` stands for ``a.b/c``)."""
        wanted = ",".join(f"{name.replace('__', '/').replace('_', '.')}={value}" for name, value in labels.items())
        found = json.loads(await self.ctl("get", kind, "-l", wanted, "-o", "json"))["items"]
        assert isinstance(found, list)
        return found

    async def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply manifests."""
        await self.ctl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    async def delete(self, kind: str, name: str, *options: str, within_s: float = 120.0) -> None:
        """Delete an object and wait until it is gone, unless an option says otherwise; it may be gone already."""
        await self.ctl("delete", kind, name, "--ignore-not-found", *options, within_s=within_s)

    async def condition(self, kind: str, name: str, condition: str) -> Object:
        """Read one condition of an object; empty when it isn't told."""
        found = await self.get(kind, name) or {}
        told: list[Object] = found.get("status", {}).get("conditions", [])
        return next((line for line in told if line["type"] == condition), {})

    async def until_true(self, kind: str, name: str, condition: str, within_s: float = 120.0) -> float:
        """Wait until a condition is True; return how many seconds that took."""
        return await self.until(
            f"{kind}/{name} {condition}", lambda: self._is_true(kind, name, condition), within_s=within_s
        )

    async def until(self, what: str, probe: Callable[[], Any], within_s: float = 120.0) -> float:
        """Wait until ``probe`` holds, then return how many seconds that took; a failure shows the namespace."""
        started = time.monotonic()
        try:
            await eventually(lambda: _unhurried(probe), within_s=within_s, what=what)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{await self.overview()}") from None
        return time.monotonic() - started

    async def overview(self) -> str:
        """Tell what a person would look at first."""
        parts = [
            await self.ctl("get", "pods,tnode,tfleet,scaledobject,hpa", "-o", "wide", "--ignore-not-found"),
            await self.ctl("get", "events", "--sort-by=.lastTimestamp"),
        ]
        return "\n".join(line for part in parts for line in part.splitlines()[-40:])

    async def show(self, title: str, *arguments: str) -> str:
        """Run kubectl as a person would, and keep what it printed as evidence."""
        printed = await self.ctl(*arguments)
        note(title, f"$ kubectl -n {self.namespace} {' '.join(arguments)}\n{printed}")
        return printed

    async def _is_true(self, kind: str, name: str, condition: str) -> bool:
        return bool((await self.condition(kind, name, condition)).get("status") == "True")


async def _unhurried(probe: Callable[[], Any]) -> Any:
    """Ask; a question that starts a process is not asked two hundred times a second."""
    answer = await probe()
    if not answer:
        await asyncio.sleep(0.5)
    return answer


def note(title: str, text: str) -> None:
    """Keep what was seen or measured as evidence."""
    EVIDENCE.parent.mkdir(parents=True, exist_ok=True)
    with EVIDENCE.open("a") as file:
        file.write(f"\n== {time.strftime('%H:%M:%S', time.gmtime())} {title}\n{text.rstrip()}\n")


def is_ready(pod: Object) -> bool:
    """Tell whether a pod is ready and stays: not one that is being deleted."""
    told = pod.get("status", {}).get("conditions", [])
    ready = any(line["type"] == "Ready" and line["status"] == "True" for line in told)
    return ready and "deletionTimestamp" not in pod["metadata"]
