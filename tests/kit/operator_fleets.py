"""TranslationFleets of one namespace as a user sees them, and the processes of their nodes as the store does."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from kit.eventually import eventually
from kit.kube.api import Api, Body, path
from kit.operators import SOON_S, connect
from lingua_state import declarations
from lingua_state.errors import Redeclared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lingua_state.client import Store

NODE: Body = {"languages": {"asr": ["en"], "tts": ["es", "de"]}, "capacity": {"maxJobs": 2}}


def tfleet(name: str, replicas: int, node: Body | None = None, **spec: Any) -> Body:
    """Write a TranslationFleet."""
    return {
        "apiVersion": "lingua.dev/v1alpha1",
        "kind": "TranslationFleet",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "template": {"spec": node or NODE}, **spec},
    }


class Fleets:
    """The fleets of one namespace and their nodes."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def where(self, name: str = "") -> str:
        return path("translationfleets", self.namespace, name)

    def create(self, name: str, replicas: int, node: Body | None = None, **spec: Any) -> Body:
        return self.api.create(self.where(), tfleet(name, replicas, node, **spec)).expect()

    def get(self, name: str) -> Body:
        """Read one; empty: there is none."""
        answer = self.api.get(self.where(name))
        return answer.body if answer.ok else {}

    def patch(self, name: str, spec: Body) -> None:
        self.api.patch(self.where(name), {"spec": spec}).expect()

    def scale(self, name: str, replicas: int) -> None:
        """Scale as an autoscaler does, by the subresource."""
        self.api.patch(f"{self.where(name)}/scale", {"spec": {"replicas": replicas}}).expect()

    def delete(self, name: str, **query: str) -> None:
        self.api.delete(self.where(name), **query).expect()

    def nodes(self, name: str) -> list[Body]:
        """List a fleet's nodes by its own selector's label, those that are going too."""
        found = self.api.get(path("translationnodes", self.namespace), labelSelector=f"lingua.dev/fleet={name}")
        return sorted(found.expect()["items"], key=lambda each: str(each["metadata"]["name"]))

    def names(self, name: str) -> set[str]:
        return {each["metadata"]["name"] for each in self.nodes(name)}

    def status(self, name: str) -> Body:
        found: Body = self.get(name).get("status", {})
        return found

    def condition(self, name: str, kind: str) -> Body:
        found = self.status(name).get("conditions", [])
        return next((each for each in found if each["type"] == kind), {})

    async def until(self, name: str, kind: str, reason: str) -> Body:
        """Wait until a condition has a reason, and return it."""

        def has_it() -> Body:
            condition = self.condition(name, kind)
            assert condition.get("reason") == reason, (condition, self.status(name))
            return condition

        found: Body = await eventually(has_it, within_s=SOON_S, what=f"{name} {kind} {reason}")
        return found

    async def until_ready(self, name: str, replicas: int) -> None:
        """Wait until the fleet rests with that many nodes, all ready and of the present template."""

        def rests() -> bool:
            found, status = self.get(name), self.status(name)
            counts = [status.get(each) for each in ("replicas", "readyReplicas", "updatedReplicas")]
            assert counts == [replicas] * 3, (status, [each.get("status") for each in self.nodes(name)])
            assert status["observedGeneration"] == found["metadata"]["generation"]
            left = [each["metadata"] | {"status": each.get("status")} for each in self.nodes(name)]
            assert self.condition(name, "Ready")["reason"] == "Ready", (status, left)
            return True

        await eventually(rests, within_s=2 * SOON_S, what=f"{name} ready with {replicas}")

    async def gone(self, name: str) -> None:
        await eventually(lambda: not self.get(name), within_s=SOON_S, what=f"{name} gone")

    def events(self, name: str) -> list[str]:
        """List the reasons of the events beside a fleet."""
        found = self.api.get(path("events", self.namespace, group="v1")).expect()["items"]
        return [each["reason"] for each in found if each["involvedObject"]["name"] == name]


@asynccontextmanager
async def processes(store: Store, capacity: int = 2) -> AsyncIterator[None]:
    """Let a process connect for each declared node, as their pods would."""

    async def connect_all() -> None:
        while True:
            entries = (await declarations.list_declared(store, 1_000)).items
            live = await declarations.live(store, [entry.node_id for entry in entries])
            for entry in entries:
                found = live.get(entry.node_id)
                if found is None or not found.connected:
                    # Declared anew or withdrawn meanwhile: the next look tries again, as a node does.
                    with contextlib.suppress(Redeclared):
                        await connect(store, entry.node_id, f"{entry.node_id}.1", capacity)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(connect_all())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
