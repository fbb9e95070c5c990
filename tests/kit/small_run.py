"""A recorded run of two people, one node and one scheduler in which all is well: what a test of the checker breaks."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

from kit.history import Recorded
from kit.invariants_state import ROOT, SESSIONS

if TYPE_CHECKING:
    from kit.history import Event

NODE, INCARNATION, CLASS = "node-0", "incarnation-0", "class-0"


def small_run() -> Recorded:
    """Two people each say one thing; each is heard once, by who said it."""
    clock = count(1)
    events = [
        _event(clock, "rig", "began", seed=1, profile="standalone"),
        _event(clock, NODE, "registered", hears=["en"], speaks=["es"], pid=2),
        call(clock, "register_node_v2", node_id=NODE, incarnation=INCARNATION, capacity="4"),
        call(clock, "epoch", epoch="epoch-0"),
        _event(clock, "rig", "sampled", name="scheduler-0", pid=3, rss_bytes=100 << 20, descriptors=20),
    ]
    for number in range(2):
        events += _utterance(clock, number)
    events += [
        call(clock, "epoch", epoch="epoch-0"),
        _event(clock, "rig", "counted", name="scheduler-0", in_flight=0),
        _event(clock, "rig", "sampled", name="scheduler-0", pid=3, rss_bytes=101 << 20, descriptors=21),
    ]
    last_s = float(next(clock))
    settled = _event(
        clock, "rig", "settled", lost_allowed=0, calm=True, quiet_s=1.0, quiet_within_s=90.0, running=["scheduler-0"]
    )
    jobs = {f"job-{number}": job(number, "completed") for number in range(2)}
    first, last = snapshot(0.5, {}), snapshot(last_s, jobs)
    return Recorded([*events, settled], [first, last], {"scheduler-0.log": ['{"level":"info","event":"serving"}']})


def call(clock: count[int], script: str, outcome: str = "ok", **more: Any) -> Event:
    """Make the record of a call that took half a second."""
    at_s = float(next(clock))
    told = {"script": script, "outcome": outcome, "began_s": at_s - 0.5}
    return {"at_s": at_s, "process": "scheduler-0", "event": "call"} | told | more


def snapshot(at_s: float, jobs: dict[str, dict[str, str]], **more: Any) -> Event:
    """Make a snapshot with these jobs; ``more`` are further keys below the root."""
    statuses = {record["status"] for record in jobs.values()}
    indexes = {
        f"jobs:{status}": {job_id: 1.0 for job_id, record in jobs.items() if record["status"] == status}
        for status in statuses
    }
    values: dict[str, Any] = {
        "epoch": "epoch-0",
        "nodes:all": [NODE],
        "nodes:lease": {NODE: 1.0},
        f"node:{NODE}": {"load": "0", "capacity": "4", "pool_id": CLASS},
        "pools:all": {CLASS: 0.0},
        f"pool:{CLASS}:def": {"nodes": "1"},
        "pool:en:es": [CLASS],
        **indexes,
        **more,
    }
    rows = [key(ROOT + name, value) for name, value in values.items()]
    rows += [key(f"{ROOT}job:{job_id}", record, ttl_ms=1000) for job_id, record in jobs.items()]
    return {"began_s": at_s, "at_s": at_s + 0.1, "server": "server-0", "keys": rows}


def key(name: str, value: Any, ttl_ms: int = -1) -> Event:
    """Make a key of a snapshot."""
    kind = "hash" if isinstance(value, dict) else "set" if isinstance(value, list) else "string"
    return {"name": name, "type": kind, "ttl_ms": ttl_ms, "bytes": 500, "value": value}


def job(number: int, status: str, attempt: int = 1, node: str = NODE) -> dict[str, str]:
    """Make a job's record."""
    request = {"session_id": f"session-{number}", "want": f"en:es@tenant-{number}"}
    return {
        "status": status, "attempt_id": str(attempt), "node_id": node, "terms": "1 2 3 4 5 6 3",
        "request": json.dumps(request),
    }  # fmt: skip


def session(number: int) -> Event:
    """Make the key of a session."""
    return key(f"{SESSIONS}session-{number}", {"tenant": f"tenant-{number}", "kept": "3"}, ttl_ms=1000)


def _event(clock: count[int], process: str, event: str, **more: Any) -> Event:
    return {"at_s": float(next(clock)), "process": process, "event": event} | more


def _utterance(clock: count[int], number: int) -> list[Event]:
    job_id, session_id, said = f"job-{number}", f"session-{number}", f"audio-{number}"
    who = {"talker": f"talker-{number}", "tenant": f"tenant-{number}"}
    attempt = {"job_id": job_id, "attempt_id": "1", "node_id": NODE, "incarnation": INCARNATION}
    return [
        call(clock, "session_attach", session_id=session_id, now=1),
        _event(clock, "rig", "opened", session=session_id, **who),
        _event(clock, "rig", "said", said=said, **who),
        call(
            clock, "dispatch", "assigned", job_id=job_id, session_id=session_id, want=f"en:es@{who['tenant']}",
            exclude="", placed=[job_id, 1, NODE, INCARNATION],
        ),
        call(clock, "mark_job_dispatched", **attempt),
        _event(clock, NODE, "job", job_id=job_id, attempt=1, session=session_id, index=0, audio=said),
        call(clock, "update_job_status", status="accepted", **attempt),
        _event(clock, NODE, "result", job_id=job_id, attempt=1),
        call(clock, "update_job_status", status="completed", **attempt),
        _event(clock, "rig", "heard", said=said, session=session_id, index=0, job_id=job_id, **who),
    ]  # fmt: skip
