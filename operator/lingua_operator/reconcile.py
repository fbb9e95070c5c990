"""What to do about one TranslationNode. Pure: the resource, what was found, the clock in; what to do and to say out.

Two steps, since the second needs what came of the first: :func:`plan` tells what to declare, :func:`conclude` what
follows from the store's answer: whether a drain is over, whether the finalizer may go, and the status.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from lingua_operator.conditions import ACCEPTED, CONNECTED, DRAINED, READY, REGISTERED, Verdict, put, stamp
from lingua_operator.resource import Node, NodeSpec, Scheduling
from lingua_state.declarations import Credential, Declaration, LiveNode
from lingua_state.declarations import Scheduling as Declared
from lingua_state.models import AUTO, Access, Capability, Pair
from lingua_wire.ids import normal_language

#: No code and no token has this digest: what is locked with it opens for nobody.
LOCKED = "0" * 64
PAIRS_SHOWN = 10
_DECLARED = {
    Scheduling.ACTIVE: Declared.ACTIVE,
    Scheduling.CORDONED: Declared.CORDONED,
    Scheduling.DRAINING: Declared.DRAINING,
}
_HELD_BACK = {
    Scheduling.CORDONED: "It keeps its work and takes nothing new: set scheduling to Active.",
    Scheduling.DRAINING: "It takes nothing new: set scheduling to Active to use it again.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a spec can't be used as it is: one word, and a sentence that tells what to do."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the secrets that a spec names hold, as digests. ``problem``: one of them can't be read."""

    credential: Credential | None = None
    pairing: str | None = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class PodFact:
    """How the node's pod is, where the operator runs one. ``gone``: there is none (any more). ``drain``: it has to be
    replaced, so the node gets nothing new meanwhile. ``problem``: its template can't be used."""

    gone: bool = True
    reason: str = ""
    message: str = ""
    drain: bool = False
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found before anything was done. ``rival`` names the older resource that claims the same node id."""

    now: datetime
    owner: str
    rival: str | None = None
    credentials: Credentials = Credentials()
    pod: PodFact = PodFact()


class Said(StrEnum):
    """What came of the declaration."""

    HELD = "held"
    """The store holds this generation."""
    STALE = "stale"
    """A later generation is declared: we saw an old state of the resource."""
    TAKEN = "taken"
    AWAY = "away"
    """The store did not answer; what it holds is not known."""
    SKIPPED = "skipped"
    """Nothing was to be declared."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan. ``live`` is how the node was after it; None: no process of it is known."""

    said: Said
    live: LiveNode | None = None
    taken_by: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do first. ``declaration`` None: leave what the store holds. ``pod``: a pod of the node is wished."""

    declaration: Declaration | None
    problem: Problem | None = None
    pod: bool = False


class Step(StrEnum):
    """What follows."""

    NOTHING = "nothing"
    WAIT = "wait"
    """A drain goes on: look again soon."""
    END_JOBS = "end_jobs"
    """The drain's deadline has passed: the node stays, the jobs it has go to others."""
    WITHDRAW = "withdraw"
    """Take the node out, then let the resource go."""
    RELEASE = "release"
    """Let the resource go: nothing of it is in the store, or nobody can tell and its time is over."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What follows from an outcome, and what to write. ``until`` is the end of a drain that goes on."""

    step: Step
    verdicts: tuple[Verdict, ...]
    drain_start: datetime | None = None
    until: datetime | None = None
    revision: int | None = None


def plan(node: Node, facts: Facts) -> Plan:
    """Tell what to declare of a node, and whether it should have a pod."""
    if node.mirrored:
        return Plan(None)
    if node.spec is None:
        return Plan(None, Problem("InvalidSpec", node.problem))
    if facts.rival:
        return Plan(None, _taken(node, facts.rival))
    if node.deleted and _withdrawn(node):
        return Plan(None, pod=False)
    declaration = declaration_of(node, node.spec, facts)
    if not declaration.capability.pairs():
        return Plan(None, Problem("NoPairs", "its languages make no pair: add one to hear and another one to speak"))
    problem = facts.credentials.problem or facts.pod.problem
    return Plan(declaration, problem, pod=node.spec.pod_template is not None and not node.deleted)


def declaration_of(node: Node, spec: NodeSpec, facts: Facts) -> Declaration:
    """Write a node as the schedulers are to know it. What is locked by a secret that can't be read stays locked."""
    scheduling = Declared.DRAINING if node.deleted or facts.pod.drain else _DECLARED[spec.scheduling]
    return Declaration(
        node_id=node.node_id,
        uid=facts.owner,
        generation=node.generation,
        capability=capability_of(spec, facts.credentials.pairing),
        capacity=spec.capacity.max_jobs,
        weight=spec.weight,
        scheduling=scheduling,
        services=tuple(sorted(set(spec.services))),
        credential=facts.credentials.credential,
    )


def capability_of(spec: NodeSpec, pairing: str | None) -> Capability:
    """Write what a node can do and for whom. ``pairing`` is the digest of its pairing code."""
    heard = {normal_language(code) for code in spec.languages.asr}
    return Capability(
        asr=tuple(sorted(heard - {AUTO})),
        targets=tuple(sorted({normal_language(code) for code in spec.languages.targets})),
        exclude=tuple(
            sorted(
                {Pair(normal_language(pair.source), normal_language(pair.target)) for pair in spec.languages.exclude},
                key=str,
            )
        ),
        auto=AUTO in heard,
        access=_access(spec, pairing),
    )


def conclude(node: Node, facts: Facts, plan: Plan, outcome: Outcome) -> Conclusion:
    """Tell what follows from what came of a plan."""
    start = _drain_start(node, facts.now, pod_drains=facts.pod.drain)
    until = _deadline(node, start)
    step = _step(node, facts, plan, outcome, until)
    verdicts = _verdicts(node, facts, plan, outcome, step, until)
    revision = node.generation if outcome.said is Said.HELD else node.status.membership_revision
    return Conclusion(step, verdicts, start, until if step is Step.WAIT else None, revision)


def concluded(conclusion: Conclusion) -> Conclusion:
    """Tell the same after a withdrawal or the end of jobs went through."""
    if conclusion.step is Step.WITHDRAW:
        done = Verdict(DRAINED, "True", "Withdrawn", "It is out of the store: the resource can go.")
    elif conclusion.step is Step.END_JOBS:
        done = Verdict(
            DRAINED, "True", "DeadlinePassed", "Its last jobs were given to other nodes: it is safe to stop."
        )
    else:
        return conclusion
    others = tuple(verdict for verdict in conclusion.verdicts if verdict.type != DRAINED)
    return replace(conclusion, verdicts=(*others, done))


def ends_at(node: Node, now: datetime) -> datetime | None:
    """Tell when a node's drain is over at the latest; None: it is not drained."""
    return _deadline(node, _drain_start(node, now, pod_drains=node.status.drain_start_time is not None))


def status_onto(old: dict[str, Any], node: Node, facts: Facts, conclusion: Conclusion) -> dict[str, Any]:
    """Write the conclusion onto a status; equal to the old one when nothing changed."""
    pairs = node.spec and capability_of(node.spec, None).pairs()
    new = {
        **old,
        "observedGeneration": node.generation,
        "nodeId": node.node_id,
        "conditions": put(old.get("conditions") or [], conclusion.verdicts, node.generation, facts.now),
    }
    if pairs:
        new["pairs"] = len(pairs)
        new["pairsSample"] = [str(pair) for pair in pairs[:PAIRS_SHOWN]]
    if conclusion.revision is not None:
        new["membershipRevision"] = conclusion.revision
    new.pop("drainStartTime", None)
    if conclusion.drain_start:
        new["drainStartTime"] = stamp(conclusion.drain_start)
    return new


def _access(spec: NodeSpec, pairing: str | None) -> Access:
    tenants = tuple(sorted(set(spec.access.tenants))) if spec.access else ()
    if spec.access and spec.access.pairing_secret_ref:
        return Access(public=False, tenants=tenants, pairing=pairing or LOCKED)
    return Access(public=not tenants, tenants=tenants)


def _taken(node: Node, holder: str) -> Problem:
    return Problem(
        "NodeIdTaken",
        f"the node id {node.node_id} is held by {holder}, which is older: delete one of the two, or make this one "
        "again with another nodeId",
    )


def _withdrawn(node: Node) -> bool:
    drained = node.status.condition(DRAINED)
    return drained is not None and drained.reason == "Withdrawn" and drained.observed_generation == node.generation


def _wants_drain(node: Node) -> bool:
    return bool(node.deleted) or (node.spec is not None and node.spec.scheduling is Scheduling.DRAINING)


def _drain_start(node: Node, now: datetime, *, pod_drains: bool) -> datetime | None:
    if not pod_drains and not _wants_drain(node):
        return None
    return node.status.drain_start_time or node.deleted or now


def _deadline(node: Node, start: datetime | None) -> datetime | None:
    if start is None or node.spec is None:
        return start
    return start + timedelta(seconds=node.spec.drain_deadline_seconds)


def _step(node: Node, facts: Facts, plan: Plan, outcome: Outcome, until: datetime | None) -> Step:
    if until is None:
        return Step.NOTHING
    over = facts.now >= until
    idle = outcome.live is None or not outcome.live.connected or outcome.live.load <= 0
    if node.deleted:
        return _step_out(node, facts, outcome, over=over, idle=idle)
    if plan.declaration is None or outcome.said is not Said.HELD:
        return Step.NOTHING
    if idle:
        return Step.NOTHING
    return Step.END_JOBS if over else Step.WAIT


def _step_out(node: Node, facts: Facts, outcome: Outcome, *, over: bool, idle: bool) -> Step:
    """Tell how the deletion of a resource goes on."""
    if node.mirrored or facts.rival or outcome.said is Said.TAKEN:
        return Step.RELEASE
    if outcome.said is Said.AWAY:
        return Step.RELEASE if over else Step.WAIT
    if outcome.said is Said.STALE:
        return Step.WAIT
    return Step.WITHDRAW if over or idle or outcome.said is Said.SKIPPED else Step.WAIT


def _verdicts(
    node: Node, facts: Facts, plan: Plan, outcome: Outcome, step: Step, until: datetime | None
) -> tuple[Verdict, ...]:
    accepted = _accepted(node, plan, outcome)
    registered = _registered(node, accepted, outcome)
    connected = _connected(node, facts, outcome)
    drained = _drained(node, outcome, step, until)
    return accepted, registered, connected, _ready(node, facts, accepted, registered, connected), drained


def _accepted(node: Node, plan: Plan, outcome: Outcome) -> Verdict:
    problem = plan.problem
    if problem is None and outcome.said is Said.TAKEN:
        problem = _taken(node, outcome.taken_by)
    if problem:
        return Verdict(ACCEPTED, "False", problem.reason, problem.message)
    if node.mirrored:
        return Verdict(
            ACCEPTED, "True", "Mirrored", "It shows a node that registered by itself; its spec changes nothing."
        )
    return Verdict(ACCEPTED, "True", "Accepted", "The spec can be used.")


def _registered(node: Node, accepted: Verdict, outcome: Outcome) -> Verdict:
    if outcome.said is Said.HELD:
        return Verdict(REGISTERED, "True", "Declared", "The schedulers know it as its spec says.")
    if outcome.said is Said.AWAY:
        return Verdict(REGISTERED, "Unknown", "StoreUnavailable", f"{outcome.trouble} It is tried again by itself.")
    if outcome.said is Said.STALE:
        return Verdict(REGISTERED, "Unknown", "Superseded", "A later state of this resource is in force.")
    if node.mirrored:
        return Verdict(REGISTERED, "True", "Mirrored", "The node registered by itself.")
    if node.deleted:
        return Verdict(REGISTERED, "False", "Withdrawn", "It is being deleted.")
    return Verdict(REGISTERED, "False", accepted.reason, accepted.message)


def _connected(node: Node, facts: Facts, outcome: Outcome) -> Verdict:
    if outcome.said is Said.AWAY:
        return Verdict(CONNECTED, "Unknown", "StoreUnavailable", outcome.trouble)
    if outcome.live is not None and outcome.live.connected:
        return Verdict(CONNECTED, "True", "Connected", "A process of the node is there.")
    if facts.pod.reason:
        return Verdict(CONNECTED, "False", facts.pod.reason, facts.pod.message)
    return Verdict(
        CONNECTED,
        "False",
        "NotConnected",
        f"no process with the node id {node.node_id} is connected to a scheduler: start it, and look at its log",
    )


def _drained(node: Node, outcome: Outcome, step: Step, until: datetime | None) -> Verdict:
    if until is None:
        return Verdict(DRAINED, "False", "NotDraining", "It is not being drained.")
    if step in (Step.WAIT, Step.END_JOBS):
        reason = "StoreUnavailable" if outcome.said is Said.AWAY else "Draining"
        return Verdict(DRAINED, "False", reason, f"It takes nothing new; what runs may go on until {stamp(until)}.")
    if outcome.said is Said.AWAY:
        return Verdict(DRAINED, "Unknown", "StoreUnavailable", outcome.trouble)
    before = node.status.condition(DRAINED)
    if before and before.reason == "DeadlinePassed" and before.observed_generation == node.generation:
        return Verdict(DRAINED, "True", before.reason, before.message)
    return Verdict(DRAINED, "True", "Drained", "Nothing runs on it: it is safe to stop.")


def _ready(node: Node, facts: Facts, accepted: Verdict, registered: Verdict, connected: Verdict) -> Verdict:
    if node.deleted:
        return Verdict(READY, "False", "Deleting", "It is being drained, since it was deleted.")
    for verdict in (accepted, registered):
        if not verdict.good:
            return Verdict(READY, verdict.status, verdict.reason, verdict.message)
    if node.spec and node.spec.scheduling in _HELD_BACK:
        return Verdict(READY, "False", str(node.spec.scheduling), _HELD_BACK[node.spec.scheduling])
    if facts.pod.drain:
        return Verdict(READY, "False", facts.pod.reason, facts.pod.message)
    if not connected.good:
        return Verdict(READY, connected.status, connected.reason, connected.message)
    return Verdict(READY, "True", "Ready", "It takes work.")
