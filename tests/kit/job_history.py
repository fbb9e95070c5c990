"""Take from the recorded calls the steps of each job, and what the record can't tell."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from kit.job_steps import ENDED, Step
from kit.linear import Unseen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kit.history import Event, Recorded

_KINDS: Final = {
    "create_job": "create",
    "dispatch": "dispatch",
    "failover_job": "failover",
    "mark_job_dispatched": "mark",
    "update_job_status": "update",
    "end_job": "end",
}
#: In the durable profile their answer says that replicas have it.
_SURE: Final = frozenset({"create", "dispatch", "end"})
#: A call without an answer may still be done so long after it was given up: its server was paused, or a buffer full.
LATE_S: Final = 60.0
#: A call of a process that was killed began at most so long before.
IN_FLIGHT_S: Final = 10.0
#: What makes a store forget its last writes.
RETURNS: Final = frozenset({"cut_tail", "emptied", "brought_back", "flushed", "failed_over"})


def steps_of(recorded: Recorded) -> dict[str, list[Step]]:
    """Find the steps of each job."""
    found: dict[str, list[Step]] = defaultdict(list)
    for call in recorded.of("call"):
        for job_id, step in _steps(call):
            found[job_id].append(step)
    if recorded.snapshots:
        last = recorded.snapshots[-1]
        records = {row["name"]: row["value"] for row in last["keys"] if ":job:" in row["name"]}
        for job_id, steps in found.items():
            record: dict[str, str] = next(
                (value for name, value in records.items() if name.endswith(f":job:{job_id}")), {}
            )
            kept = tuple((name, record.get(name, "")) for name in ("status", "attempt_id", "queue", "lost"))
            steps.append(Step("read", "", last["began_s"], last["at_s"], record=kept if record else ()))
    return found


def unseen_in(recorded: Recorded) -> Unseen:
    """Find the times in which steps may have been taken that nobody noted, and those at which the store went back."""
    windows = [(call["began_s"], call["at_s"] + LATE_S) for call in recorded.of("call_failed")]
    windows += [(call["began_s"], call["at_s"]) for call in recorded.of("call") if call.get("again")]
    windows += [(at_s - IN_FLIGHT_S, at_s + LATE_S) for at_s in _killed_s(recorded)]
    returns = tuple(event["at_s"] for event in recorded.of(*RETURNS))
    durable = any(event.get("profile") == "durable" for event in recorded.of("began"))
    return Unseen(_joined(windows), returns, durable)


def _killed_s(recorded: Recorded) -> Iterator[float]:
    """Tell when the schedulers wrote their last that neither ended in an orderly way nor run still."""
    last = {call["process"]: call["at_s"] for call in recorded.of("call", "call_failed")}
    well = {event["process"] for event in recorded.of("ended")}
    well |= {name for event in recorded.of("settled") for name in event["running"]}
    return (at_s for name, at_s in last.items() if name not in well)


def _steps(call: Event) -> Iterator[tuple[str, Step]]:
    times = {"began_s": call["began_s"], "ended_s": call["at_s"]}
    kind = _KINDS.get(call["script"])
    if kind:
        yield _own(call, kind)
    for job_id, attempt, node, *_ in call.get("assigned", ()):
        yield job_id, Step("given", "", **times, attempt=attempt, node=node)
    for job_id, attempt, node, status in call.get("lost", ()):
        yield job_id, Step("taken", "", **times, attempt=attempt, node=node, status=status)
    for job_id, _ in call.get("ended", ()):
        yield job_id, Step("lapsed", "", **times)


def _own(call: Event, kind: str) -> tuple[str, Step]:
    placed: list[Any] = call.get("placed", [call["job_id"]])
    asked = int(call.get("attempt_id", 0))
    attempt, node = (placed[1], placed[2]) if len(placed) > 1 else (asked, call.get("node_id", ""))
    status = call.get("status", "")
    step = Step(
        kind, call["outcome"], call["began_s"], call["at_s"], attempt, node, status, asked,
        sure=kind in _SURE or status in ENDED, again=bool(call.get("again")),
        record=tuple(call.get("record", {}).items()),
    )  # fmt: skip
    return placed[0], step


def _joined(windows: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    found: list[tuple[float, float]] = []
    for began, ended in sorted(windows):
        if found and began <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((began, ended))
    return tuple(found)
