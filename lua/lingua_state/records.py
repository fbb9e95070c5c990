"""Read what scripts answer: rows and field lists, into the records of :mod:`lingua_state.models`.

Rows may lie in the store for a moment (``notices``), so what a newer version says at the end of one is passed over.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lingua_state.models import (
    Affinity,
    Assigned,
    Capability,
    EndedJob,
    JobRecord,
    JobStatus,
    LostJob,
    NodeRecord,
    NodeStatus,
)
from lingua_state.wants import read_want

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NODE_COUNTERS = ("completed", "failed", "quarantined_until_ms")


def to_assigned(row: Sequence[Any], others: Iterable[Sequence[Any]] = ()) -> Assigned:
    """Read a row of ``assigned_row``."""
    job_id, session_id, owner, attempt, node_id, incarnation, instance, acks, affinity, due, moved_from, *_ = row
    return Assigned(
        job_id, session_id, owner, int(attempt), node_id, incarnation, instance, acks == "1", Affinity(affinity),
        int(due), moved_from or None, to_assigned_all(others),
    )  # fmt: skip


def to_assigned_all(rows: Iterable[Sequence[Any]]) -> tuple[Assigned, ...]:
    """Read rows of ``assigned_row``."""
    return tuple(to_assigned(row) for row in rows)


def to_lost(rows: Iterable[Sequence[Any]]) -> tuple[LostJob, ...]:
    """Read rows of ``job_fence``."""
    return tuple(
        LostJob(job_id, session_id, owner, int(attempt), node_id, JobStatus(status), reason)
        for job_id, session_id, owner, attempt, node_id, status, reason, *_ in rows
    )


def to_ended(rows: Iterable[Sequence[Any]]) -> tuple[EndedJob, ...]:
    """Read rows of ended jobs."""
    return tuple(EndedJob(*row[:4]) for row in rows)


def to_fields(flat: Sequence[str]) -> dict[str, str]:
    """Read a list of fields and values."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def to_job(job_id: str, fields: dict[str, str], due_ms: int = 0) -> JobRecord:
    """Read a job's hash. Times are 0 where the job did not get so far."""
    request = json.loads(fields["request"])
    want = read_want(request["want"])
    created_ms = int(fields["terms"].partition(" ")[0])

    def number(name: str, default: int = 0) -> int:
        return int(fields.get(name) or default)

    return JobRecord(
        job_id=job_id,
        session_id=request["session_id"],
        owner=request["owner"],
        status=JobStatus(fields["status"]),
        attempt_id=number("attempt_id"),
        node_id=fields.get("node_id", ""),
        pair=want.pair,
        utterance_index=request.get("utterance_index", 0),
        turn_id=request["turn_id"],
        tenant=want.tenant,
        request_id=request.get("request_id"),
        trace_id=request.get("trace_id", ""),
        finalize_reason=request.get("finalize_reason", ""),
        audio_ms=request.get("audio_ms", 0),
        audio_format=request.get("audio_format", ""),
        sample_rate=request.get("sample_rate", 0),
        created_ms=created_ms,
        # Left out where the job had a node at once.
        assigned_ms=number("assigned_ms", created_ms if number("attempt_id") else 0),
        dispatched_ms=number("dispatched_ms"),
        accepted_ms=number("accepted_ms"),
        started_ms=number("started_ms"),
        ended_ms=number("ended_ms"),
        due_ms=due_ms,
        expected_ms=request.get("expected_ms", 0),
        affinity=Affinity(fields.get("affinity", Affinity.NONE)),
        moved_from=fields.get("moved_from") or None,
        tried_nodes=tuple(filter(None, fields.get("tried", "").split(","))),
        error_code=fields.get("error_code") or None,
        error_message=fields.get("error_message") or None,
        details=request.get("details", {}),
        timings=json.loads(fields.get("timings") or "{}"),
    )


def to_node(node_id: str, definition: str, fields: dict[str, str]) -> NodeRecord:
    """Read a node's hash; ``definition`` is its class's."""
    counters = {name: int(fields.get(name, 0)) for name in _NODE_COUNTERS}
    return NodeRecord(
        node_id=node_id,
        status=NodeStatus(fields["status"]),
        incarnation=fields["incarnation"],
        instance_id=fields["instance_id"],
        pool_id=fields["pool_id"],
        capability=Capability.read(definition) if definition else Capability((), ()),
        capacity=int(fields["capacity"]),
        load=int(fields["load"]),
        acks=fields["acks"] == "1",
        version=fields["version"],
        registered_ms=int(fields["registered_ms"]),
        heartbeat_ms=int(fields["heartbeat_ms"]),
        lease_expires_ms=int(fields["lease_expires_ms"]),
        resources=json.loads(fields.get("resources") or "{}"),
        document=json.loads(fields.get("document") or "{}"),
        uid=fields.get("uid", ""),
        generation=int(fields.get("generation", 0)),
        weight=int(fields.get("weight", 100)),
        scheduling=fields.get("scheduling", ""),
        offered=Capability.read(fields["offered"]) if fields.get("offered") else None,
        **counters,
    )
