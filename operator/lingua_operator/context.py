"""What the parts of one running operator share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lingua_operator.known import Known, Owner
from lingua_operator.reconcile import PodFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_operator.cluster import Cluster
    from lingua_operator.credentials import Secrets
    from lingua_operator.known import Key
    from lingua_operator.metrics import Metrics
    from lingua_operator.resource import Node
    from lingua_operator.settings import OperatorSettings
    from lingua_state.client import Store


class Pods(Protocol):
    """Who runs the pods of nodes."""

    async def settle(self, node: Node, *, wished: bool) -> PodFact:
        """Bring a node's pod to what is wished, and tell how it is. Safe to repeat.

        :raises ClusterError: the API server did not let us; it is tried again by the next resync.
        """

    def forget(self, node: Node) -> None:
        """Let go of what is known of a node that is gone."""


class NoPods:
    """Nobody runs pods."""

    async def settle(self, node: Node, *, wished: bool) -> PodFact:
        """Do nothing."""
        return PodFact()

    def forget(self, node: Node) -> None:
        """Know nothing."""


@dataclass(slots=True)
class Context:
    """The parts of one running operator. ``draining`` are the nodes that wait for running jobs; ``dirty`` those whose
    last reconcile did not go through; ``changed`` wakes the resync."""

    settings: OperatorSettings
    cluster: Cluster
    store: Store
    secrets: Secrets
    metrics: Metrics
    known: Known = field(default_factory=Known)
    pods: Pods = field(default_factory=NoPods)
    draining: set[Key] = field(default_factory=set)
    dirty: set[Key] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    #: Called with each node that changed or went.
    touched: Callable[[Node], None] = lambda _: None
    #: Why the store does not answer; empty: it does.
    store_trouble: str = ""
    #: The resources were listed at least once.
    synced: bool = False

    def wake(self, key: Key) -> bool:
        """Let a node be looked at again soon. False: it is gone or going, and needs no look."""
        node = self.known.get(key)
        if node is None or node.deleted:
            return False
        self.dirty.add(key)
        self.changed.set()
        return True

    def owner_of(self, node: Node) -> str:
        """Name a resource as the store knows it."""
        return str(Owner(self.settings.cluster, node.namespace, node.name, node.uid))

    def is_ours(self, owner: Owner | None) -> bool:
        """Tell whether this operator answers for what was declared by ``owner``."""
        return owner is not None and owner.cluster == self.settings.cluster and self.settings.covers(owner.namespace)
