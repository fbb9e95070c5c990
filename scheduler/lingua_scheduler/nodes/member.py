"""A node as a member of the cell: it registers, tells how it is, and leaves; each a call to the store."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from lingua_scheduler.nodes.capability import capacity_of, document_of, facts_of
from lingua_scheduler.nodes.load import LoadGate, LoadRules, resources_of
from lingua_state import nodes
from lingua_state.ids import new_incarnation
from lingua_state.models import Capability, NodeBeat, NodeRegistration
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.node_messages import NodeWireStatus

if TYPE_CHECKING:
    from lingua_scheduler.auth import NodeIdentity
    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.nodes.profile import NodeProfile
    from lingua_scheduler.settings import NodesSettings
    from lingua_state.client import Store
    from lingua_state.errors import StateError
    from lingua_wire.node_messages import NodeHeartbeat, NodeRegister

log = logging.getLogger(__name__)

#: A node takes at most so many jobs at once, whatever it says.
MAX_CAPACITY = 10_000


class Replaced(Exception):
    """A newer connection of the same node holds it."""


class Member:
    """What the store is told about one node, for as long as its socket lives."""

    def __init__(self, store: Store, carrier: Carrier, settings: NodesSettings, profile: NodeProfile) -> None:
        self.node_id = ""
        self.incarnation = new_incarnation()
        self.status = NodeWireStatus.REGISTERING
        self.capacity = settings.capacity
        self.draining = False
        self._store = store
        self._carrier = carrier
        self._settings = settings
        self._profile = profile
        self._gate = LoadGate(_load_rules(settings))

    async def register(self, message: NodeRegister, identity: NodeIdentity) -> None:
        """Join, or tell again after the store lost its past.

        :raises WireError: the credential is another node's.
        :raises StateError: the store is away, or a newer declaration of the node exists.
        """
        self.node_id = self.name(message, identity)
        self._message = message
        self._facts = facts_of(message, tenants_of(message, identity))
        self.capacity = capacity_of(message, self._settings.capacity, MAX_CAPACITY)
        await self._tell_all()

    def name(self, message: NodeRegister, identity: NodeIdentity) -> str:
        """Name the node; the same at each call.

        :raises WireError: the credential is another node's.
        """
        self.node_id = self.node_id or node_id_of(message, identity)
        return self.node_id

    async def beat(self, message: NodeHeartbeat) -> None:
        """Tell the store how the node is.

        :raises Replaced: a newer connection holds the node.
        :raises StateError: the store is away.
        """
        before = self._facts
        self._facts = before.with_beat(message)
        resources = resources_of(message.resource_usage)
        beat = NodeBeat(
            node_id=self.node_id,
            incarnation=self.incarnation,
            lease_ms=self._profile.lease_ms,
            ready=self._facts.ready,
            overloaded=self._gate.judge(resources),
            draining=self.draining or message.status is NodeWireStatus.DRAINING,
            capability=self._capability() if self._facts is not before else None,
            resources=resources,
        )
        await self._tell(beat)

    async def drain(self) -> None:
        """Get nothing new: this instance is going away."""
        self.draining = True
        beat = NodeBeat(self.node_id, self.incarnation, self._profile.lease_ms, ready=self._facts.ready, draining=True)
        await self._tell(beat)

    async def leave(self, reason: str) -> None:
        """Tell that the connection is gone, and the owners of its jobs that they are lost."""
        self._carrier.tell(await nodes.offline(self._store, self.node_id, self.incarnation, reason))

    async def reassert(self) -> None:
        """Tell everything again: the store lost its past."""
        await self._tell_all()

    async def _tell(self, beat: NodeBeat) -> None:
        answer = await nodes.heartbeat(self._store, beat)
        if answer.outcome == "replaced":
            raise Replaced
        if answer.outcome == "unknown":
            log.info("node was unknown to the store", extra={"node_id": self.node_id})
            await self._tell_all()
            return
        self.status = NodeWireStatus(answer.status)
        self._carrier.tell(answer.assigned)

    async def _tell_all(self) -> None:
        registration = NodeRegistration(
            node_id=self.node_id,
            incarnation=self.incarnation,
            instance_id=self._carrier.instance_id,
            capability=self._capability(),
            capacity=self.capacity,
            lease_ms=self._profile.lease_ms,
            ready=self._facts.ready,
            acks=self._profile.acks,
            version=self._message.version,
            document=document_of(self._message),
        )
        registered = await nodes.register(self._store, registration)
        self.status = NodeWireStatus(registered.status)
        self._carrier.tell(registered.lost)
        self._carrier.tell(registered.assigned)

    def _capability(self) -> Capability:
        """Give what it can be chosen for; one without languages is in no pool."""
        return self._facts.capability or Capability(asr=(), targets=(), access=self._facts.access)


def tenants_of(message: NodeRegister, identity: NodeIdentity) -> tuple[str, ...]:
    """Name the tenant that a node serves alone: its credential's; its own word counts only where there is none."""
    if identity.tenant:
        return (identity.tenant,)
    named = message.tenant_id if not identity.verified and not message.accept_public_jobs else None
    if named and ":" in named:
        raise WireError(ErrorCode.INVALID_MESSAGE, "tenant_id: has a colon", close=CloseCode.BAD_SETTINGS)
    return (named,) if named else ()


def node_id_of(message: NodeRegister, identity: NodeIdentity) -> str:
    """Name the node: as its credential says, else as it calls itself, else anew.

    :raises WireError: the credential is another node's.
    """
    if identity.node_id and message.node_id and identity.node_id != message.node_id:
        raise WireError(
            ErrorCode.NODE_ID_CONFLICT, "node_id: the credential is another node's", close=CloseCode.FORBIDDEN
        )
    return identity.node_id or message.node_id or f"node-{secrets.token_hex(8)}"


def close_of(error: StateError) -> WireError:
    """Tell a node that the store refused or is away."""
    if error.code == "stale_generation":
        return WireError(
            ErrorCode.NODE_ID_CONFLICT, "a newer declaration of this node exists", close=CloseCode.FORBIDDEN
        )
    return WireError(ErrorCode.STORE_UNAVAILABLE, "the state store can't be reached", close=CloseCode.TRY_LATER)


def _load_rules(settings: NodesSettings) -> LoadRules:
    return LoadRules(
        cpu_percent=settings.cpu_percent,
        gpu_percent=settings.gpu_percent,
        gpu_mem_percent=settings.gpu_mem_percent,
        mem_percent=settings.memory_percent,
    )
