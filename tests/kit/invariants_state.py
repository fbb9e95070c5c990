"""Invariants of the store (I1 to I10), each as one function over one snapshot of all its keys.

They hold after every step of every script, so at any moment, whatever is broken just then.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from kit.job_steps import ENDED, RUNNING, WAITING, place_of
from kit.proof import TEXT_MARK, marks
from lingua_state.wants import read_want

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kit.history import Event

ROOT: Final = "lingua:v1:"
SESSIONS: Final = "scheduler:session:"
MOST_ATTEMPTS: Final = 3
#: No value is larger: audio would be.
VALUE_BYTES: Final = 16 * 1024
JOB_BYTES: Final = 4 * 1024
#: Of ended jobs, the index of each status keeps so many.
_LISTED: Final = 10_000
_STATUSES: Final = ("pending", *RUNNING, *ENDED)


@dataclass(frozen=True)
class View:
    """A snapshot, read by name. Names are those after the root."""

    snapshot: Event

    @cached_property
    def rows(self) -> dict[str, Event]:
        """Every key by its whole name."""
        return {row["name"]: row for row in self.snapshot["keys"]}

    @cached_property
    def values(self) -> dict[str, Any]:
        """The values below the root."""
        return {name.removeprefix(ROOT): row["value"] for name, row in self.rows.items() if name.startswith(ROOT)}

    @cached_property
    def jobs(self) -> dict[str, dict[str, str]]:
        """Every job's record."""
        return {name.removeprefix("job:"): value for name, value in self.values.items() if name.startswith("job:")}

    @cached_property
    def unfinished(self) -> set[str]:
        """The jobs that have not ended."""
        return {job_id for job_id, record in self.jobs.items() if record["status"] not in ENDED}

    @cached_property
    def node_jobs(self) -> dict[str, list[str]]:
        """The jobs in flight of each node that has some."""
        return {name.split(":")[1]: value for name, value in self._below("node:", ":jobs")}

    @cached_property
    def queues(self) -> dict[str, dict[str, float]]:
        """Who waits: for a want, by its name, and for a node, by ``node:ID``."""
        wants = dict(self._below("waiting:", ""))
        return wants | {name.removesuffix(":waiting"): value for name, value in self._below("node:", ":waiting")}

    @property
    def nodes(self) -> set[str]:
        """The nodes that are in."""
        return set(self.get("nodes:all"))

    def get(self, name: str) -> Any:
        """Read a value; one that is not there is empty."""
        return self.values.get(name, {})

    def _below(self, start: str, end: str) -> Iterator[tuple[str, Any]]:
        return ((name, value) for name, value in self.values.items() if name.startswith(start) and name.endswith(end))


def i1_one_place(view: View) -> Iterator[str]:
    """A job is in exactly one of the indexes of its states: that of its own."""
    listed = {status: set(view.get(f"jobs:{status}")) for status in _STATUSES}
    for job_id, record in view.jobs.items():
        found = [status for status in _STATUSES if job_id in listed[status]]
        trimmed = not found and record["status"] in ENDED and len(listed[record["status"]]) >= _LISTED
        if found != [record["status"]] and not trimmed:
            yield f"job {job_id} is {record['status']} and listed as {found}"
    for status in ("pending", *RUNNING):
        yield from (
            f"job {job_id} is listed as {status} and has no record" for job_id in listed[status] - set(view.jobs)
        )


def i2_running_is_held(view: View) -> Iterator[str]:
    """A job runs if, and only if, it is with its node and with nobody else; something is due while it has not ended."""
    for job_id, record in view.jobs.items():
        holders = [node for node, jobs in view.node_jobs.items() if job_id in jobs]
        wanted = [record["node_id"]] if record["status"] in RUNNING else []
        if holders != wanted:
            yield f"job {job_id} is {record['status']} at {wanted} and held by {holders}"
        queued = [name for name, members in view.queues.items() if job_id in members]
        if len(queued) != (place_of(record) == WAITING):
            yield f"job {job_id} is {place_of(record)} and in the queues {queued}"
    due = set(view.get("jobs:deadline"))
    yield from (f"nothing is ever due for job {job_id}" for job_id in view.unfinished - due)
    yield from (f"something is due for job {job_id}, which has ended" for job_id in due - view.unfinished)


def i3_within_capacity(view: View) -> Iterator[str]:
    """A node has no more jobs than it can take."""
    for node_id, jobs in view.node_jobs.items():
        capacity = int(view.get(f"node:{node_id}").get("capacity", 0))
        if len(jobs) > capacity:
            yield f"node {node_id} has {len(jobs)} jobs and takes {capacity}"


def i4_attempts_are_bounded(view: View) -> Iterator[str]:
    """No job has had more attempts than it may."""
    for job_id, record in view.jobs.items():
        if int(record["attempt_id"]) > min(MOST_ATTEMPTS, int(record["terms"].split()[-1])):
            yield f"job {job_id} has had {record['attempt_id']} attempts"


def i6_counts_are_recounts(view: View) -> Iterator[str]:
    """Every count equals a recount: a node's load, the nodes of a class, who waits under which name."""
    for node_id in view.nodes:
        load, jobs = int(view.get(f"node:{node_id}").get("load", 0)), len(view.node_jobs.get(node_id, ()))
        if load != jobs:
            yield f"node {node_id} counts {load} jobs and has {jobs}"
    inside = Counter(view.get(f"node:{node_id}").get("pool_id") for node_id in view.nodes)
    for pool_id, idle_since_ms in view.get("pools:all").items():
        known = view.get(f"pool:{pool_id}:def")
        if int(known.get("nodes", 0)) != inside[pool_id]:
            yield f"class {pool_id} counts {known.get('nodes', 0)} nodes and has {inside[pool_id]}"
        busy = inside[pool_id] + int(known.get("declared", 0)) > 0
        if busy != (idle_since_ms == 0):
            yield f"class {pool_id} is {'in use' if busy else 'idle'} and noted as idle since {idle_since_ms}"
    wants = {name.removeprefix("waiting:") for name in view.queues if name.startswith("waiting:")}
    if set(view.get("waiting")) != wants:
        yield f"queues {sorted(wants)} are noted as {sorted(view.get('waiting'))}"
    named = {want for name in view.get("waits") for want in view.get(f"waits:{name}")}
    if named != wants:
        yield f"queues {sorted(wants)} are found by names as {sorted(named)}"


def i7_nothing_stays_for_ever(view: View) -> Iterator[str]:
    """A key has an end, or an owner that is there."""
    for name, row in view.rows.items():
        if row["ttl_ms"] == -1 and not _is_owned(view, name):
            yield f"{name} has no end and no owner"


def i8_no_audio(view: View) -> Iterator[str]:
    """No value is as large as audio, or holds any; a job takes little memory.

    There is no text either, but what a session's client was told and has not confirmed.
    """
    audio = [mark.decode("latin-1") for mark in marks() if mark != TEXT_MARK.encode()]
    for name, row in view.rows.items():
        forbidden = audio if _is_kept_for_client(name) else [*audio, TEXT_MARK]
        parts = list(_parts(row["value"]))
        if max(map(len, parts), default=0) > VALUE_BYTES:
            yield f"{name} has a value of {max(map(len, parts))} bytes"
        if any(mark in part for part in (name, *parts) for mark in forbidden):
            yield f"{name} holds speech or text"
        if any(not part.isascii() or not part.isprintable() for part in parts):
            yield f"{name} holds bytes that are no text"
        if name.startswith(f"{ROOT}job:") and row["bytes"] > JOB_BYTES:
            yield f"{name} takes {row['bytes']} bytes of memory"


def i9_one_tenant(view: View) -> Iterator[str]:
    """A job is its session's tenant's, and a request id leads to a job of its own tenant.

    Keys carry no tenant but those of request ids and of pairs that are not for everybody: the rest is by random id.
    """
    for job_id, record in view.jobs.items():
        request = json.loads(record["request"])
        session = view.rows.get(SESSIONS + request["session_id"])
        tenant = read_want(request["want"]).tenant
        if session and session["value"].get("tenant", "") != tenant:
            yield f"job {job_id} is of tenant {tenant!r}, its session of {session['value'].get('tenant')!r}"
    for name, job_id in view.values.items():
        if name.startswith("request:") and job_id in view.jobs:
            tenant = read_want(json.loads(view.jobs[job_id]["request"])["want"]).tenant
            if name.split(":")[1] != tenant:
                yield f"{name} leads to job {job_id} of tenant {tenant!r}"


def i10_events_are_a_window(view: View) -> Iterator[str]:
    """What is kept of a session's events has no hole, and ends where the session says."""
    for name, row in view.rows.items():
        if not _is_kept_for_client(name):
            continue
        numbers = [int(entry[0].partition("-")[0]) for entry in row["value"]]
        kept = int(view.rows.get(name.removesuffix(":events"), {"value": {}})["value"].get("kept", 0))
        if numbers and numbers != list(range(kept - len(numbers) + 1, kept + 1)):
            yield f"{name} holds {numbers[:5]}..{numbers[-1]}, its session kept {kept}"


STATE: Final[dict[str, Callable[[View], Iterator[str]]]] = {
    "I1": i1_one_place,
    "I2": i2_running_is_held,
    "I3": i3_within_capacity,
    "I4": i4_attempts_are_bounded,
    "I6": i6_counts_are_recounts,
    "I7": i7_nothing_stays_for_ever,
    "I8": i8_no_audio,
    "I9": i9_one_tenant,
    "I10": i10_events_are_a_window,
}

#: Lasts as long as the installation.
_FOR_EVER: Final = frozenset(
    {"epoch", "nodes:all", "nodes:lease", "nodes:declared", "nodes:declared:sums", "pools:all", "jobs:deadline"}
    | {"waiting", "waits", "sessions", "instances", *(f"jobs:{status}" for status in _STATUSES)}
)


def _is_kept_for_client(name: str) -> bool:
    return name.startswith(SESSIONS) and name.endswith(":events")


def _is_owned(view: View, name: str) -> bool:
    if not name.startswith(ROOT):
        return False
    word = name.removeprefix(ROOT)
    kind, _, rest = word.partition(":")
    if word in _FOR_EVER:
        return True
    if kind == "node":
        return rest.split(":")[0] in view.nodes
    if kind == "pool":
        members = {rest.rpartition(":")[0]} if rest.endswith((":def", ":nodes", ":names")) else set(view.get(word))
        return members <= set(view.get("pools:all"))
    if kind in ("waiting", "waits"):
        return any(job_id in view.unfinished for queue in view.queues.values() for job_id in queue)
    return False


def _parts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _parts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _parts(one)
