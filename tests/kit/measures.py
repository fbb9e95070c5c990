"""Figures that are read from what was recorded of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.history import Event, Recorded


def taken_again_s(recorded: Recorded) -> list[float]:
    """Tell how long each job that a killed node had in its hands was without a node (none: it waited for one)."""
    found = []
    for killed in recorded.of("killed"):
        for job in _in_hand(recorded, killed):
            times = (at_s for at_s, job_id, attempt in _given(recorded) if (job_id, attempt) == _next(job))
            found += [at_s - killed["at_s"] for at_s in times]
    return found


def _next(job: Event) -> tuple[str, int]:
    return job["job_id"], job["attempt"] + 1


def _in_hand(recorded: Recorded, killed: Event) -> list[Event]:
    node, at_s = killed["process"], killed["at_s"]
    mine = [event for event in recorded.of("job", "result") if event["process"] == node and event["at_s"] < at_s]
    answered = {(event["job_id"], event["attempt"]) for event in mine if event["event"] == "result"}
    began = [one["at_s"] for one in recorded.of("registered") if one["process"] == node and one["at_s"] < at_s]
    # A process that comes back has nothing of what the one before had.
    began_s = max(began, default=0.0)
    return [
        event
        for event in mine
        if event["event"] == "job" and event["at_s"] > began_s and (event["job_id"], event["attempt"]) not in answered
    ]


def _given(recorded: Recorded) -> list[tuple[float, str, int]]:
    found = []
    for call in recorded.of("call"):
        rows = [*call.get("assigned", ()), *([call["placed"]] if len(call.get("placed", ())) > 1 else [])]
        found += [(call["at_s"], row[0], row[1]) for row in rows]
    return found
