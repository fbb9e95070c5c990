"""Reconcile one TranslationNode: find the facts, let :mod:`lingua_operator.reconcile` decide, carry it out.

The same for every cause: created, changed, resumed, deleted, resync. What it returns is written by the caller: by
kopf's patch inside a handler, by :mod:`lingua_operator.statuses` elsewhere.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lingua_operator import reconcile
from lingua_operator.cluster import NODES, ClusterError, NotFound
from lingua_operator.known import Owner
from lingua_operator.reconcile import Conclusion, Facts, Outcome, Plan, PodFact, Said, Step
from lingua_operator.resource import parse_node
from lingua_state import declarations
from lingua_state.errors import NodeIdTaken, StaleGeneration, StateError

if TYPE_CHECKING:
    from lingua_operator.context import Context
    from lingua_operator.known import Key
    from lingua_operator.resource import Node

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of a reconcile. ``released``: the finalizer may go. ``dirty``: it has to be tried again."""

    facts: Facts
    conclusion: Conclusion
    released: bool
    dirty: bool
    until: datetime | None
    #: Jobs that were ended by a drain's deadline.
    lost: int = 0
    #: The resource goes though nobody could tell the store.
    blind: bool = False


async def settle(context: Context, node: Node) -> Settled:
    """Bring the store, the pod and what is known to what a resource wishes. Safe to repeat at any time."""
    began = time.monotonic()
    facts = await _find(context, node)
    plan = reconcile.plan(node, facts)
    context.known.wish(node.uid, plan.declaration)
    outcome = await _declare(context, node, facts, plan)
    conclusion = reconcile.conclude(node, facts, plan, outcome)
    settled = await _follow(context, node, facts, plan, conclusion, outcome)
    _note(context, node, settled)
    context.metrics.reconciles.labels(outcome.said.value).inc()
    context.metrics.reconcile_seconds.observe(time.monotonic() - began)
    return settled


async def forget(context: Context, node: Node) -> None:
    """Take out what a resource declared that is gone without our having let it go. Safe to repeat."""
    context.draining.discard(node.key)
    context.dirty.discard(node.key)
    try:
        await declarations.withdraw(context.store, node.node_id, context.owner_of(node))
    except StateError:
        context.changed.set()
    for heir in context.known.by_node_id(node.node_id):
        context.dirty.add(heir.key)
        context.changed.set()


async def _find(context: Context, node: Node) -> Facts:
    rival = context.known.rival(node)
    credentials = await context.secrets.of(node)
    wished = bool(node.spec and node.spec.pod_template) and rival is None
    pod = PodFact() if node.deleted or node.mirrored else await _pod(context, node, wished=wished)
    return Facts(
        now=datetime.now(UTC).replace(microsecond=0),
        owner=context.owner_of(node),
        rival=f"{rival.namespace}/{rival.name}" if rival else None,
        credentials=credentials,
        pod=pod,
    )


async def _pod(context: Context, node: Node, *, wished: bool) -> PodFact:
    try:
        return await context.pods.settle(node, wished=wished)
    except ClusterError as error:
        context.dirty.add(node.key)
        return PodFact(reason="PodNotMade", message=f"its pod could not be made: {error}"[:1000])


async def _declare(context: Context, node: Node, facts: Facts, plan: Plan) -> Outcome:
    if context.store_trouble:
        return Outcome(Said.AWAY, trouble=context.store_trouble)
    try:
        said, taken_by = Said.SKIPPED, ""
        if plan.declaration:
            said, taken_by = await _say(context, plan.declaration)
        found = await declarations.live(context.store, [node.node_id])
    except StateError as error:
        log.info("the store did not answer", extra={"code": error.code, "node_id": node.node_id})
        return Outcome(Said.AWAY, trouble=f"The store does not answer ({error.code}).")
    return Outcome(said, None if facts.rival or said is Said.TAKEN else found.get(node.node_id), taken_by)


async def _say(context: Context, declaration: declarations.Declaration) -> tuple[Said, str]:
    """Declare; take over from a resource that is known to be gone, or that is younger than this one."""
    replaces: str | None = None
    for _ in range(2):
        try:
            await declarations.declare(context.store, declaration, replaces=replaces)
        except StaleGeneration:
            return Said.STALE, ""
        except NodeIdTaken as error:
            if replaces is not None or not await _may_replace(context, error.uid):
                return Said.TAKEN, _holder(error.uid)
            replaces = error.uid
        else:
            return Said.HELD, ""
    return Said.STALE, ""


async def _may_replace(context: Context, uid: str) -> bool:
    """Tell whether a holder may be replaced: one of ours that is younger than we are, or whose resource is gone."""
    owner = Owner.read(uid)
    if owner is None or not context.is_ours(owner):
        return False
    if context.known.by_uid(owner.uid) is not None:
        return True
    try:
        found = parse_node(await context.cluster.get(NODES, owner.namespace, owner.name))
    except NotFound:
        return True
    except ClusterError:
        return False
    if found.uid == owner.uid:
        context.known.see(found)
        context.changed.set()
        return False
    return True


def _holder(uid: str) -> str:
    owner = Owner.read(uid)
    if owner is None:
        return "a resource of another system"
    return f"{owner.namespace}/{owner.name}" + (f" of the cluster {owner.cluster}" if owner.cluster else "")


async def _follow(
    context: Context, node: Node, facts: Facts, plan: Plan, conclusion: Conclusion, outcome: Outcome
) -> Settled:
    """Do what follows from the outcome."""
    step = conclusion.step
    dirty = outcome.said is Said.AWAY
    if step is Step.RELEASE:
        blind = outcome.said is Said.AWAY
        return Settled(facts, conclusion, released=True, dirty=False, until=None, blind=blind)
    if step not in (Step.WITHDRAW, Step.END_JOBS):
        return Settled(facts, conclusion, released=False, dirty=dirty, until=conclusion.until)
    try:
        lost = await _end(context, node, facts, step, plan)
    except StateError:
        context.changed.set()
        return Settled(facts, conclusion, released=False, dirty=True, until=facts.now)
    done = reconcile.concluded(conclusion)
    return Settled(facts, done, released=step is Step.WITHDRAW, dirty=dirty, until=None, lost=lost)


async def _end(context: Context, node: Node, facts: Facts, step: Step, plan: Plan) -> int:
    """Take the node out, which ends its attempts and leaves word for the jobs' owners; one that stays is said again."""
    if step is Step.WITHDRAW:
        context.known.wish(node.uid, None)
    lost = (await declarations.withdraw(context.store, node.node_id, facts.owner)).lost
    if step is Step.END_JOBS and plan.declaration:
        await _say(context, plan.declaration)
    return lost


def _note(context: Context, node: Node, settled: Settled) -> None:
    """Remember what has to be looked at again."""
    _keep(context.draining, node, settled.until is not None and not settled.released)
    _keep(context.dirty, node, settled.dirty and not settled.released)


def _keep(keys: set[Key], node: Node, wanted: bool) -> None:
    if wanted:
        keys.add(node.key)
    else:
        keys.discard(node.key)
