"""Short ways to say what a test of the state is about: a node, a job, a session; and to read raw state back."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, cast

from lingua_state import dispatch, jobs, nodes, sessions
from lingua_state.declared import Declaration
from lingua_state.models import (
    Access,
    Assigned,
    Capability,
    DispatchRequest,
    JobStatus,
    NodeBeat,
    NodeRegistration,
    Pair,
    Registered,
    Transition,
)

if TYPE_CHECKING:
    from lingua_state.client import Store
    from lingua_state.models import Beaten

EN_ES = Pair("en", "es")
ES_EN = Pair("es", "en")
_numbers = count(1)


def unique(kind: str) -> str:
    """Make a name nobody else in this run has."""
    return f"{kind}-{next(_numbers)}"


def can(asr: str = "en", targets: str = "es", *, auto: bool = False, **access: Any) -> Capability:
    """Describe what a node can do: languages in one text, with spaces."""
    return Capability(tuple(asr.split()), tuple(targets.split()), auto=auto, access=Access(**access))


async def join(store: Store, node_id: str, capability: Capability | None = None, **changes: Any) -> Registered:
    """Let a node in; its incarnation is its id and ``.1`` unless said otherwise."""
    fields: dict[str, Any] = {
        "incarnation": f"{node_id}.1", "instance_id": "s1", "capacity": 1, "lease_ms": 60_000, "slow_start_ms": 0,
    }  # fmt: skip
    registration = NodeRegistration(node_id=node_id, capability=capability or can(), **(fields | changes))
    return await nodes.register(store, registration)


def declared(node_id: str, capability: Capability | None = None, **changes: Any) -> Declaration:
    """Declare a node; the resource's uid is ``u1``, its generation 1, unless said otherwise."""
    fields: dict[str, Any] = {"uid": "u1", "generation": 1, "capacity": 1}
    return Declaration(node_id=node_id, capability=capability or can(), **(fields | changes))


async def beat(store: Store, node_id: str, **changes: Any) -> Beaten:
    """Let a node's heart beat once."""
    fields: dict[str, Any] = {"incarnation": f"{node_id}.1", "lease_ms": 60_000}
    return await nodes.heartbeat(store, NodeBeat(node_id=node_id, **(fields | changes)))


async def begin(store: Store, session_id: str = "", tenant: str = "") -> str:
    """Attach a session, so that its affinity is kept."""
    session_id = session_id or unique("session")
    await sessions.attach(
        store, session_id=session_id, instance_id="s1", tenant=tenant, source="en", target="es", mode="one_way",
        trace_id="t", ttl_ms=60_000,
    )  # fmt: skip
    return session_id


def want(**changes: Any) -> DispatchRequest:
    """Ask for a node for a new job; of a new session unless said otherwise."""
    fields: dict[str, Any] = {
        "job_id": unique("job"), "session_id": unique("session"), "owner": "s1", "pair": EN_ES, "utterance_index": 0,
        "turn_id": "",
    }  # fmt: skip
    return DispatchRequest(**(fields | changes))


async def assign(store: Store, **changes: Any) -> Assigned:
    """Dispatch a new job that must find a node at once."""
    answer = await dispatch.dispatch(store, want(**changes))
    assert isinstance(answer, Assigned), answer
    return answer


async def finish(
    store: Store, job: Assigned, status: JobStatus = JobStatus.COMPLETED, *, blame: bool = False, **changes: Any
) -> Transition:
    """Say for the node how its job ended."""
    who: dict[str, Any] = {"attempt_id": job.attempt_id, "node_id": job.node_id, "incarnation": job.incarnation}
    said = who | changes
    return await jobs.complete(
        store, job.job_id, said["attempt_id"], said["node_id"], said["incarnation"], status=status,
        counts_against_node=blame,
    )  # fmt: skip


async def load_of(store: Store, node_id: str) -> int:
    """Read how many jobs a node has by its counter."""
    return int(await store.call("HGET", store.keys.node(node_id), "load"))


async def store_now_ms(store: Store) -> int:
    """Read the store's clock."""
    seconds, micros = cast("list[str]", await store.call("TIME"))
    return int(seconds) * 1000 + int(micros) // 1000


async def due_now(store: Store, job_id: str) -> None:
    """Move what is due of a job into the past, instead of waiting for it."""
    await store.call("ZADD", store.keys.jobs_deadline(), "XX", await store_now_ms(store) - 1, job_id)


async def age_lease(store: Store, node_id: str) -> None:
    """End a node's lease, instead of waiting for it."""
    await store.call("ZADD", store.keys.nodes_lease(), "XX", await store_now_ms(store) - 1, node_id)


async def age(store: Store, job_id: str, **changes: int) -> None:
    """Set times that the rules read (created, wait_until, turn_until), as if they had been long ago."""
    names = ("created", "wait_until", "turn_until")
    terms = str(await store.call("HGET", store.keys.job(job_id), "terms")).split(" ")
    for name, value in changes.items():
        terms[names.index(name)] = str(value)
    await store.call("HSET", store.keys.job(job_id), "terms", " ".join(terms))
