"""Real nodes, jobs and sessions in the store, put there by the functions that the scheduler uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_state import dispatch, ids, instances, jobs, nodes, sessions
from lingua_state.models import (
    Assigned,
    Capability,
    DispatchRequest,
    JobStatus,
    NodeRegistration,
    Pair,
    Waiting,
)

if TYPE_CHECKING:
    from lingua_state.client import Store

EN_ES = Capability(asr=("en",), targets=("es",))


async def add_node(
    store: Store, node_id: str, capability: Capability = EN_ES, *, capacity: int = 2, instance_id: str = "here"
) -> None:
    """Let a node in that is ready at once."""
    await nodes.register(
        store,
        NodeRegistration(
            node_id=node_id,
            incarnation=f"{node_id}-1",
            instance_id=instance_id,
            capability=capability,
            capacity=capacity,
            lease_ms=60_000,
            version="0.9",
            document={"platform": "linux"},
            slow_start_ms=0,
        ),
    )


def request(store: Store, **more: object) -> DispatchRequest:
    """Ask for English to Spanish in a session of its own."""
    wanted: dict[str, object] = {
        "job_id": ids.new_job_id(store.cell),
        "session_id": ids.new_session_id(store.cell),
        "owner": "here",
        "pair": Pair("en", "es"),
        "utterance_index": 0,
        "turn_id": "turn-1",
        "audio_ms": 1_200,
        "finalize_reason": "IsFinal",
        "trace_id": "trace-1",
    }
    return DispatchRequest(**{**wanted, **more})  # type: ignore[arg-type]


async def add_job(store: Store, **more: object) -> str:
    """Dispatch a job; returns its id."""
    wanted = request(store, **more)
    found = await dispatch.dispatch(store, wanted)
    assert isinstance(found, Assigned | Waiting)
    return wanted.job_id


async def finish(store: Store, job_id: str, status: JobStatus = JobStatus.COMPLETED, code: str | None = None) -> None:
    """Bring a job to its end by its node's word."""
    job = await jobs.get(store, job_id)
    assert job is not None
    incarnation = f"{job.node_id}-1"
    await jobs.accept(store, job_id, job.attempt_id, job.node_id, incarnation)
    done = await jobs.complete(
        store, job_id, job.attempt_id, job.node_id, incarnation, status=status, error_code=code,
        timings={"asr_ms": 80.0, "total_ms": 140.0},
    )  # fmt: skip
    assert done.outcome == "ok", done


async def add_session(store: Store, session_id: str, tenant: str = "") -> None:
    """Attach a session."""
    await sessions.attach(
        store,
        session_id=session_id,
        instance_id="here",
        tenant=tenant,
        source="en",
        target="es",
        mode="one_way",
        trace_id="trace-1",
        ttl_ms=60_000,
    )


async def add_instance(store: Store, instance_id: str, *, draining: bool = False) -> None:
    """Announce an instance."""
    await instances.announce(
        store,
        instance_id=instance_id,
        address="http://127.0.0.1:1",
        version="1.2.3",
        sessions=1,
        nodes=2,
        draining=draining,
        ttl_ms=60_000,
    )
