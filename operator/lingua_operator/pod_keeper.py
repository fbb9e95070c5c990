"""Keep the pods of nodes: know them, do what :mod:`lingua_operator.pods` decides, look again when it is time.

Pods are known from the stream of those that the operator made; what was written ourselves is known at once.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lingua_operator.cluster import PODS, ClusterError, Conflict, Forbidden, NotFound, Refused
from lingua_operator.pod_view import PodView, parse_pod
from lingua_operator.pods import LABEL_MANAGED, MANAGED, allowed_for, build_pod, plan_pods, pod_name, problem_of
from lingua_operator.reconcile import PodFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_operator.cluster import Cluster
    from lingua_operator.known import Key
    from lingua_operator.resource import Node
    from lingua_operator.settings import OperatorSettings

log = logging.getLogger(__name__)

_LOOK_S = 0.5
#: A pod that waits for its node to be drained is looked at this often.
_DRAIN_LOOK = timedelta(seconds=1)
#: A pod that the API server refused is tried again: a quota may be free by then.
_REFUSED_LOOK = timedelta(seconds=30)


class PodKeeper:
    """The pods of all nodes. ``wake`` is called with a node whose pod changed, or for which it is time; it tells
    whether there is such a node."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings, wake: Callable[[Key], bool]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._wake = wake
        self._pods: dict[str, dict[str, PodView]] = {}
        self._keys: dict[str, Key] = {}
        self._due: dict[Key, datetime] = {}
        #: Nodes whose pods changed since they were last settled: woken until that is done.
        self._changed: set[Key] = set()
        self._accounts = frozenset(filter(None, settings.pods.service_accounts.split(",")))
        self._images = tuple(filter(None, settings.pods.images.split(",")))

    async def list_pods(self) -> None:
        """Read all pods again; what is gone without a word is forgotten.

        :raises ClusterError: the list could not be read whole; nothing was changed.
        """
        bodies = await self._cluster.list(PODS, self._settings.namespace_list(), labels=f"{LABEL_MANAGED}={MANAGED}")
        listed = [parse_pod(body) for body in bodies]
        uids = {pod.uid for pod in listed}
        for owner in list(self._pods):
            self._pods[owner] = {uid: pod for uid, pod in self._pods[owner].items() if uid in uids}
        for pod in listed:
            self._note(pod)

    def seen(self, kind: str | None, body: Any) -> None:  # noqa: ANN401 - kopf's
        """Take in what the stream tells."""
        pod = parse_pod(body)
        if not pod.owner_uid:
            return
        if kind == "DELETED":
            self._drop(pod)
        else:
            self._note(pod)
        key = self._keys.get(pod.owner_uid)
        if key:
            self._changed.add(key)
            self._wake(key)

    async def settle(self, node: Node, *, wished: bool) -> PodFact:
        """Bring a node's pods to what is wished, and tell how they are. Safe to repeat.

        :raises ClusterError: the API server did not let us; it is tried again by the next resync.
        """
        self._changed.discard(node.key)
        pods = list(self._pods.get(node.uid, {}).values())
        if node.spec is None or not (wished or pods):
            return PodFact(gone=not pods)
        self._keys[node.uid] = node.key
        refused = problem_of(node.spec, allowed_for(node.spec, self._accounts, self._images)) if wished else None
        now = datetime.now(UTC)
        plan = plan_pods(node, pods, now, wished=wished, refused=refused)
        self._look_again(node.key, now + _DRAIN_LOOK if plan.fact.drain else plan.wake_at)
        for pod in plan.delete:
            await self._cluster.delete(PODS, node.namespace, pod.name, uid=pod.uid)
        if plan.create is None:
            return plan.fact
        return await self._create(node, plan.create) or plan.fact

    def forget(self, node: Node) -> None:
        """Let go of what is known of a node that is gone; its pods end by their owner reference."""
        self._pods.pop(node.uid, None)
        self._keys.pop(node.uid, None)
        self._due.pop(node.key, None)
        self._changed.discard(node.key)

    async def run(self) -> None:
        """Wake nodes when it is time, and list the pods now and then, until cancelled."""
        listed = datetime.now(UTC)
        every = timedelta(milliseconds=self._settings.resync.list_ms)
        while True:
            now = datetime.now(UTC)
            for key in [key for key, due in self._due.items() if due <= now]:
                del self._due[key]
                self._changed.add(key)
            self._changed = {key for key in self._changed if self._wake(key)}
            if now - listed >= every:
                listed = now
                await self._list_quietly()
            await asyncio.sleep(_LOOK_S)

    async def _list_quietly(self) -> None:
        try:
            await self.list_pods()
        except ClusterError as error:
            log.warning("the pods could not be listed", extra={"status": error.status})

    async def _create(self, node: Node, number: int) -> PodFact | None:
        """Make a pod; a refusal is told in the node's conditions. None: it is there."""
        try:
            made = await self._cluster.create(PODS, build_pod(node, number, self._settings.scheduler.url))
        except Conflict:
            return await self._take_known(node, pod_name(node, number))
        except (Refused, Forbidden) as error:
            log.info("a pod was refused", extra={"node_id": node.node_id, "status": error.status})
            self._look_again(node.key, datetime.now(UTC) + _REFUSED_LOOK)
            return PodFact(reason="PodRefused", message=f"the API server refused its pod: {error}"[:1000])
        self._note(parse_pod(made))
        return None

    async def _take_known(self, node: Node, name: str) -> PodFact | None:
        """Find whose the pod is that has the name already: ours of an earlier try, or somebody else's."""
        try:
            pod = parse_pod(await self._cluster.get(PODS, node.namespace, name))
        except NotFound:
            self._look_again(node.key, datetime.now(UTC) + _DRAIN_LOOK)
            return None
        if pod.owner_uid == node.uid:
            self._note(pod)
            return None
        message = f"another pod is called {name}: delete or rename it"
        return PodFact(reason="PodNameTaken", message=message)

    def _drop(self, pod: PodView) -> None:
        known = self._pods.get(pod.owner_uid, {})
        known.pop(pod.uid, None)
        if not known:
            self._pods.pop(pod.owner_uid, None)

    def _note(self, pod: PodView) -> None:
        known = self._pods.setdefault(pod.owner_uid, {})
        before = known.get(pod.uid)
        if before is None or before.version <= pod.version:
            known[pod.uid] = pod

    def _look_again(self, key: Key, due: datetime | None) -> None:
        if due is not None:
            self._due[key] = due
