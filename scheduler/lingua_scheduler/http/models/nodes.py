"""Nodes, pools and pairs as the API shows them."""

from typing import Any, Literal, Self

from pydantic import Field

from lingua_scheduler.http.models.common import Answer, Language, Millis, Page, PageQuery, PairView
from lingua_state.models import Access, Capability, NodeRecord, NodeStatus, PairSummary, PoolSummary


class LanguagesView(Answer):
    """What a node hears and speaks."""

    hears: tuple[str, ...]
    speaks: tuple[str, ...]
    excluded: tuple[PairView, ...] = Field((), description="Pairs of the product it does not serve.")
    detects: bool = Field(description="Whether it finds the spoken language by itself.")

    @classmethod
    def of(cls, capability: Capability) -> Self:
        """Show a capability."""
        return cls(
            hears=capability.asr,
            speaks=capability.targets,
            excluded=tuple(PairView.of(pair) for pair in capability.exclude),
            detects=capability.auto,
        )


class AccessView(Answer):
    """Who may use a node. The pairing code itself is never shown."""

    public: bool
    tenants: tuple[str, ...]
    by_pairing_code: bool

    @classmethod
    def of(cls, access: Access) -> Self:
        """Show who may."""
        return cls(public=access.public, tenants=access.tenants, by_pairing_code=access.pairing is not None)


class NodeView(Answer):
    """A node: what it can do, how busy and how well it is."""

    node_id: str
    status: NodeStatus
    connected: bool = Field(description="Whether a process holds it. One that is declared may wait for its process.")
    origin: Literal["declared", "registered"] = Field(description="By a TranslationNode, or by the node itself.")
    scheduling: str = Field(description="As declared: active, cordoned or draining; empty if it is not declared.")
    weight: int = Field(description="Its share of the load; 100 is usual, 0: only when nobody else is free.")
    generation: int = Field(description="Of its TranslationNode, as it is applied here; 0 if it is not declared.")
    instance_id: str = Field(description="The scheduler instance that holds its socket.")
    pool_id: str = Field(description="Its class: the nodes with the same capability.")
    languages: LanguagesView
    access: AccessView
    capacity: int = Field(description="Jobs it takes at once.")
    load: int = Field(description="Jobs it has now.")
    acknowledges: bool = Field(description="Whether it confirms jobs before it works on them.")
    version: str
    registered_ms: Millis
    heartbeat_ms: Millis
    lease_expires_ms: Millis
    completed: int
    failed: int
    quarantined: bool = Field(description="Failing too often: gets nothing until it proves itself.")
    quarantined_until_ms: Millis
    resources: dict[str, float] = Field(description="As the node reports them, in percent.")

    @classmethod
    def of(cls, node: NodeRecord, now_ms: int) -> Self:
        """Show a node as it is at ``now_ms``."""
        return cls(**_shown(node, now_ms))


class NodeDetail(NodeView):
    """A node with what it told about itself."""

    document: dict[str, Any]

    @classmethod
    def of(cls, node: NodeRecord, now_ms: int) -> Self:
        """Show a node wholly."""
        return cls(**_shown(node, now_ms), document=node.document)


class NodePage(Page):
    """Nodes."""

    nodes: list[NodeView]


class NodeAction(Answer):
    """What came of a wish about a node."""

    node_id: str
    status: NodeStatus


class ListQuery(PageQuery):
    """A part of a list that is short as a rule."""

    limit: int = Field(500, ge=1, le=5_000, description="Items of one page, at most.")


class PairQuery(ListQuery):
    """Which pairs to list."""

    src: Language | None = Field(None, description="Only pairs that hear this language.")
    tgt: Language | None = Field(None, description="Only pairs that speak this language.")


class PairSummaryView(Answer):
    """A language pair that is offered or waited for, and how it stands."""

    pair: PairView
    scope: str = Field(description="Empty for everybody; else the tenant it is private to, or `#`: a pairing code.")
    classes: int
    nodes: int
    declared: int = Field(description="Nodes that are declared for it, connected or not.")
    free: int = Field(description="Jobs that could start now.")
    waiting: int
    oldest_wait_ms: int

    @classmethod
    def of(cls, summary: PairSummary) -> Self:
        """Show a pair."""
        return cls(
            pair=PairView.of(summary.pair),
            scope=summary.scope,
            classes=summary.classes,
            nodes=summary.nodes,
            declared=summary.declared,
            free=summary.free,
            waiting=summary.waiting,
            oldest_wait_ms=summary.oldest_wait_ms,
        )


class PairPage(Page):
    """Pairs: those that somebody waits for first, then by name."""

    pairs: list[PairSummaryView]


class PoolView(Answer):
    """A class of nodes with the same capability."""

    pool_id: str
    languages: LanguagesView
    access: AccessView
    nodes: int
    declared: int = Field(description="Nodes that are declared to be of it, connected or not.")
    choosable: int = Field(description="Nodes that may get jobs now.")
    capacity: int = Field(description="Jobs that those take at once.")
    free: int = Field(description="Jobs that could start now.")

    @classmethod
    def of(cls, summary: PoolSummary) -> Self:
        """Show a class."""
        return cls(
            pool_id=summary.pool_id,
            languages=LanguagesView.of(summary.capability),
            access=AccessView.of(summary.capability.access),
            nodes=summary.nodes,
            declared=summary.declared,
            choosable=summary.choosable,
            capacity=summary.capacity,
            free=summary.free,
        )


class PoolPage(Page):
    """Classes, by name."""

    pools: list[PoolView]


def _shown(node: NodeRecord, now_ms: int) -> dict[str, Any]:
    return {
        "node_id": node.node_id,
        "status": node.status,
        "connected": node.status is not NodeStatus.OFFLINE,
        "origin": "declared" if node.uid else "registered",
        "scheduling": node.scheduling,
        "weight": node.weight,
        "generation": node.generation,
        "instance_id": node.instance_id,
        "pool_id": node.pool_id,
        "languages": LanguagesView.of(node.capability),
        "access": AccessView.of(node.capability.access),
        "capacity": node.capacity,
        "load": node.load,
        "acknowledges": node.acks,
        "version": node.version,
        "registered_ms": node.registered_ms,
        "heartbeat_ms": node.heartbeat_ms,
        "lease_expires_ms": node.lease_expires_ms,
        "completed": node.completed,
        "failed": node.failed,
        "quarantined": node.quarantined_until_ms > now_ms,
        "quarantined_until_ms": node.quarantined_until_ms,
        "resources": node.resources,
    }
