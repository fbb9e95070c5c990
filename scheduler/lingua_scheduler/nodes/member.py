"""A node as a member of the cell: it registers, tells how it is, and leaves; each a call to the store."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from lingua_scheduler.clock import now_ms
from lingua_scheduler.nodes.capability import capacity_of, document_of, facts_of
from lingua_scheduler.nodes.changes import Changes
from lingua_scheduler.nodes.load import LoadGate, LoadRules, resources_of
from lingua_scheduler.tokens import AuthError
from lingua_state import nodes
from lingua_state.declared import OTHERS_KEYS, bound, check_bound, own_words
from lingua_state.errors import ClassesRefused, DeclarationApart, Redeclared
from lingua_state.ids import new_incarnation
from lingua_state.models import ClassBounds, NodeBeat, NodeRegistration
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.node_messages import NodeWireStatus

if TYPE_CHECKING:
    from lingua_scheduler.auth import NodeIdentity
    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.nodes.gate import NodeGate
    from lingua_scheduler.nodes.profile import NodeProfile
    from lingua_scheduler.settings import NodesSettings
    from lingua_state.client import Store
    from lingua_state.declared import Declaration
    from lingua_state.errors import StateError
    from lingua_wire.node_messages import NodeHeartbeat, NodeRegister

log = logging.getLogger(__name__)

#: A node takes at most so many jobs at once, whatever it says.
MAX_CAPACITY = 10_000
#: How often a declaration may change while its node registers.
_TRIES = 5


class Replaced(Exception):
    """A newer connection of the same node holds it."""


class Member:
    """What the store is told about one node, for as long as its socket lives."""

    def __init__(
        self, store: Store, carrier: Carrier, settings: NodesSettings, profile: NodeProfile, gate: NodeGate
    ) -> None:
        self.node_id = ""
        self.incarnation = new_incarnation()
        self.status = NodeWireStatus.REGISTERING
        self.capacity = settings.capacity
        self.draining = False
        self.words: dict[str, str] = {}
        """The node's own words for languages that it is declared with by others."""
        self._store = store
        self._carrier = carrier
        self._settings = settings
        self._profile = profile
        self._gate = gate
        self._declaration: Declaration | None = None
        self._account = ""
        self._load = LoadGate(_load_rules(settings))
        self._changes = Changes(settings.changes, now_ms())
        self._bounds = ClassBounds(settings.classes, settings.new_classes)

    async def admit(self, message: NodeRegister, identity: NodeIdentity) -> str:
        """See whether the node may come in as the one it says it is; returns its name. The store is not told yet.

        :raises WireError: the credential is another node's, or it registers too often.
        :raises AuthError: it may not. :raises DeclarationApart: it can do nothing of what is declared.
        :raises StateError: the store is away.
        """
        if not self._changes.allow(now_ms()):
            raise WireError(ErrorCode.RATE_LIMITED, "the node registers again too often")
        self.name(message, identity)
        self._identity = identity
        self._message = message
        self._facts = facts_of(message, tenants_of(message, identity))
        await self._read_declaration()
        return self.node_id

    async def register(self) -> None:
        """Join, once admitted.

        :raises AuthError: :raises DeclarationApart: its declaration changed meanwhile.
        :raises StateError: the store is away.
        """
        await self._tell_all(read=False)

    def follows(self, declaration: Declaration | None) -> bool:
        """Tell whether the node is as declared here."""
        known = self._declaration
        return (known and known.digest) == (declaration and declaration.digest)

    async def follow(self) -> None:
        """Take in that the declaration changed; the store has moved a connected node already, or taken it out.

        :raises AuthError: the node may stay no longer. :raises DeclarationApart: it can do nothing of what is declared.
        :raises StateError: the store is away.
        """
        before = self._declaration
        await self._read_declaration()
        if before is not None and (self._declaration is None or self._declaration.uid != before.uid):
            await self._tell_all(read=False)

    def name(self, message: NodeRegister, identity: NodeIdentity) -> str:
        """Name the node; the same at each call.

        :raises WireError: the credential is another node's.
        """
        self.node_id = self.node_id or node_id_of(message, identity)
        return self.node_id

    async def beat(self, message: NodeHeartbeat) -> None:
        """Tell the store how the node is.

        :raises Replaced: a newer connection holds the node.
        :raises WireError: it changed its languages too often; it counts as before, its heartbeat was heard.
        :raises AuthError: :raises DeclarationApart: it is not what is declared by now.
        :raises StateError: the store is away.
        """
        before, was_ready = self._facts, self._ready()
        self._facts = before.with_beat(message)
        changed = self._facts is not before
        if changed:
            self.words = self._own_words()
        beat = self._beat_of(message, changed=changed)
        unchanged = replace(beat, ready=was_ready, capability=None)
        if changed and not self._changes.allow(now_ms()):
            self._facts = before
            await self._tell(unchanged)
            raise WireError(ErrorCode.RATE_LIMITED, "the node changes its languages too often")
        try:
            await self._tell(beat)
        except ClassesRefused as error:
            self._facts = before
            await self._tell(unchanged)
            raise WireError(ErrorCode.RATE_LIMITED, error.message) from error

    async def drain(self) -> None:
        """Get nothing new: this instance is going away."""
        self.draining = True
        beat = NodeBeat(self.node_id, self.incarnation, self._profile.lease_ms, ready=self._ready(), draining=True)
        await self._tell(beat)

    async def leave(self, reason: str) -> None:
        """Tell that the connection is gone, and the owners of its jobs that they are lost."""
        self._carrier.tell(await nodes.offline(self._store, self.node_id, self.incarnation, reason))

    async def reassert(self) -> None:
        """Tell everything again: the store lost its past."""
        await self._tell_all()

    def _beat_of(self, message: NodeHeartbeat, *, changed: bool) -> NodeBeat:
        resources = resources_of(message.resource_usage)
        return NodeBeat(
            node_id=self.node_id,
            incarnation=self.incarnation,
            lease_ms=self._profile.lease_ms,
            ready=self._ready(),
            overloaded=self._load.judge(resources),
            draining=self.draining or message.status is NodeWireStatus.DRAINING,
            capability=self._facts.offered if changed else None,
            declaration=self._declaration,
            resources=resources,
            bounds=self._bounds,
        )

    async def _tell(self, beat: NodeBeat) -> None:
        try:
            answer = await nodes.heartbeat(self._store, beat)
        except Redeclared:
            await self._tell_all()
            return
        if answer.outcome == "replaced":
            raise Replaced
        if answer.outcome == "unknown":
            log.info("node was unknown to the store", extra={"node_id": self.node_id})
            await self._tell_all()
            return
        self.status = NodeWireStatus(answer.status)
        self._carrier.tell(answer.assigned)

    async def _tell_all(self, *, read: bool = True) -> None:
        for _ in range(_TRIES):
            if read:
                await self._read_declaration()
            read = True
            try:
                registered = await nodes.register(self._store, self._registration())
            except Redeclared:
                continue
            self.status = NodeWireStatus(registered.status)
            self._carrier.tell(registered.lost)
            self._carrier.tell(registered.assigned)
            return
        raise Redeclared(f"the declaration of {self.node_id} changes again and again")

    async def _read_declaration(self) -> None:
        admitted = await self._gate.admit(self.node_id, self._identity, self._account)
        self._account, self._declaration = admitted.account, admitted.declaration
        self.capacity = capacity_of(self._message, self._settings.capacity, MAX_CAPACITY)
        if admitted.declaration is not None:
            check_bound(admitted.declaration, self._facts.offered, self._services())
            self.capacity = admitted.declaration.capacity
        self.words = self._own_words()

    def _own_words(self) -> dict[str, str]:
        return own_words(self._declaration, self._facts.offered) if self._declaration else {}

    def _registration(self) -> NodeRegistration:
        return NodeRegistration(
            node_id=self.node_id,
            incarnation=self.incarnation,
            instance_id=self._carrier.instance_id,
            capability=self._facts.offered,
            capacity=self.capacity,
            lease_ms=self._profile.lease_ms,
            declaration=self._declaration,
            services=self._services(),
            ready=self._ready(),
            acks=self._profile.acks,
            version=self._message.version,
            document=document_of(self._message),
            bounds=self._bounds,
        )

    def _ready(self) -> bool:
        """Tell whether it may get jobs, as far as its process goes."""
        declared = self._declaration
        if declared is None:
            return self._facts.ready
        capability = bound(declared, self._facts.offered).capability
        return bool(capability.asr and capability.targets) and not self._facts.missing_of(declared.services)

    def _services(self) -> tuple[str, ...]:
        return tuple(sorted(self._facts.installed))


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

    :raises WireError: the credential is another node's, or the name would be taken for what the store keeps of another.
    """
    if (message.node_id or "").endswith(OTHERS_KEYS):
        raise WireError(
            ErrorCode.INVALID_MESSAGE, "node_id: ends like a key of another node", close=CloseCode.FORBIDDEN
        )
    if identity.node_id and message.node_id and identity.node_id != message.node_id:
        raise WireError(
            ErrorCode.NODE_ID_CONFLICT, "node_id: the credential is another node's", close=CloseCode.FORBIDDEN
        )
    if message.node_id and not message.node_id.startswith(identity.prefix):
        raise WireError(
            ErrorCode.NODE_ID_CONFLICT,
            f"node_id: the credential is for nodes whose ids begin with {identity.prefix}",
            close=CloseCode.FORBIDDEN,
        )
    return identity.node_id or message.node_id or f"{identity.prefix or 'node-'}{secrets.token_hex(8)}"


def close_of(error: StateError | AuthError) -> WireError:
    """Tell a node that it may not come in or stay, or that the store is away."""
    if isinstance(error, AuthError):
        return WireError(error.code, error.message, close=error.close_code)
    if isinstance(error, DeclarationApart):
        return WireError(ErrorCode.CONFLICT, error.message, close=CloseCode.BAD_SETTINGS)
    if isinstance(error, ClassesRefused):
        return WireError(ErrorCode.RATE_LIMITED, error.message, close=CloseCode.TRY_LATER)
    return WireError(ErrorCode.STORE_UNAVAILABLE, "the state store can't be reached", close=CloseCode.TRY_LATER)


def _load_rules(settings: NodesSettings) -> LoadRules:
    return LoadRules(
        cpu_percent=settings.cpu_percent,
        gpu_percent=settings.gpu_percent,
        gpu_mem_percent=settings.gpu_mem_percent,
        mem_percent=settings.memory_percent,
    )
