"""Jobs after their dispatch: each word about one, its next attempt, its end; and reading them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from lingua_state.dispatch import JOB_TTL_MS, check, kept, placed, run_ms
from lingua_state.errors import JobMissing, StaleAttempt
from lingua_state.models import TERMINAL, EndedJob, JobStatus, Transition
from lingua_state.pages import BadCursor, Page
from lingua_state.records import to_assigned_all, to_fields, to_job

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from lingua_state.client import Store
    from lingua_state.models import Assigned, DispatchRequest, JobRecord, Waiting
    from lingua_state.multiplexed import Word

#: Why an attempt may end without its node being to blame: it never had the job; it said in time that it can't take it
#: now; it is gone (which counts once by itself, not per job); or the audio is at fault: a client could take every node
#: out with that.
BLAMELESS = frozenset(
    {"peer_unreachable", "handover_timeout", "node_gone", "node_replaced", "node_stalled"}
    | {"drain", "draining", "node_overloaded", "model_not_available", "duplicate_job_id", "duplicate_utterance_index"}
    | {"node_lost"}
    | {"unsupported_format", "too_large"}
)
_CURSOR = re.compile(r"(\d{1,15}):([^\s:]{1,200})")
_ERROR_CHARS = 500


async def create(store: Store, request: DispatchRequest) -> bool:
    """Write a job without a node, for tools; :func:`failover` of attempt 0 places it, or the sweep ends it after
    ``wait_ms``. False: it was there."""
    check(request)
    args: list[Word] = [
        store.keys.root, store.keys.session_root, request.job_id, request.priority, request.wait_ms,
        request.handover_ms, run_ms(request), request.max_attempts, ",".join(request.exclude), JOB_TTL_MS,
        kept(request),
    ]  # fmt: skip
    outcome, *_ = await store.scripts.run("create_job", [store.keys.job(request.job_id)], args, surely=True)
    return bool(outcome == "ok")


async def mark_dispatched(
    store: Store, job_id: str, attempt_id: int, node_id: str, *, offer_ms: int | None
) -> Transition:
    """Note that the job is on its node's socket.

    :param offer_ms: the attempt is lost unless the node confirms it in this time; None: the node does not confirm, the
        time to run it counts from now.
    """
    args: list[Word] = [store.keys.root, store.keys.session_root, job_id, attempt_id, node_id, offer_ms or 0]
    return _transition(job_id, await store.scripts.run("mark_job_dispatched", [store.keys.job(job_id)], args))


async def accept(store: Store, job_id: str, attempt_id: int, node_id: str, incarnation: str) -> Transition:
    """Note that the node confirmed the job: from now on the time to run it counts."""
    return await _update(store, job_id, attempt_id, node_id, incarnation, status=JobStatus.ACCEPTED)


async def start(store: Store, job_id: str, attempt_id: int, node_id: str, incarnation: str) -> Transition:
    """Note that the node works on the job."""
    return await _update(store, job_id, attempt_id, node_id, incarnation, status=JobStatus.PROCESSING)


async def complete(  # noqa: PLR0913  (each is a word of what the node said)
    store: Store, job_id: str, attempt_id: int, node_id: str, incarnation: str, *, status: JobStatus,
    error_code: str | None = None, error_message: str | None = None, timings: Mapping[str, float] | None = None,
    counts_against_node: bool = False,
) -> Transition:  # fmt: skip
    """Bring the job to its end by its node's word, free the slot and give it to who waits, in one step.

    :param status: a final one. :param timings: in milliseconds, by stage.
    :param counts_against_node: a failure that helps to take the node out; else a completed job counts for it.
    :raises ValueError: ``status`` is not final.
    """
    if status not in TERMINAL:
        raise ValueError(f"{status} is not the end of a job")
    succeeded = status in {JobStatus.COMPLETED, JobStatus.COMPLETED_NO_TEXT}
    verdict = "failed" if counts_against_node else "ok" if succeeded else ""
    return await _update(
        store, job_id, attempt_id, node_id, incarnation, status=status, verdict=verdict, error_code=error_code or "",
        error_message=error_message, timings=timings,
    )  # fmt: skip


async def end(
    store: Store, job_id: str, *, status: JobStatus, error_code: str | None = None, error_message: str | None = None
) -> Transition:
    """Bring the job to its end by its owner, wherever it is. The record is the one before: if it has a ``node_id``,
    that node must be told to stop.

    :param status: failed or cancelled.
    """
    args: list[Word] = [
        store.keys.root, store.keys.session_root, job_id, status.value, error_code or "", _message(error_message),
    ]  # fmt: skip
    return _transition(job_id, await store.scripts.run("end_job", [store.keys.job(job_id)], args, surely=True))


async def failover(
    store: Store, job_id: str, attempt_id: int, *, reason: str, exclude: tuple[str, ...] = (), wait_ms: int
) -> Assigned | Waiting | EndedJob | JobRecord:
    """Give the job whose attempt ``attempt_id`` failed its next one elsewhere, or let it wait, or end it.

    Counts against the node that had it, if its slot was not freed before, unless the reason is one of
    :data:`BLAMELESS`. Safe to repeat: known by the attempt; a job that went further, or ended, is answered by its
    record.

    :raises JobMissing: there is no such job. :raises StaleAttempt: it has not had such an attempt.
    """
    verdict = "" if reason in BLAMELESS else "failed"
    args: list[Word] = [
        store.keys.root, store.keys.session_root, job_id, attempt_id, reason, verdict, ",".join(exclude), wait_ms,
    ]  # fmt: skip
    outcome, *rest = await store.scripts.run("failover_job", [store.keys.job(job_id)], args)
    if outcome == "missing":
        raise JobMissing(job_id)
    if outcome == "stale_attempt":
        raise StaleAttempt(f"{job_id} has had no attempt {attempt_id}")
    if outcome == "ended":
        session_id, owner, code, others = rest
        return EndedJob(job_id, session_id, owner, code, to_assigned_all(others))
    return placed(outcome, rest)


async def readmit(store: Store, job_id: str, instances: Collection[str]) -> tuple[Assigned, ...] | None:
    """Let a job that waits have the nodes of instances again that were left out, as ``exclude`` names them (``@id``).

    :returns: who has a node now, the job itself maybe among them; None: it does not wait.
    """
    args: list[Word] = [store.keys.root, store.keys.session_root, job_id, ",".join(sorted(instances))]
    outcome, *others = await store.scripts.run("readmit_job", [store.keys.job(job_id)], args)
    return to_assigned_all(others[0]) if outcome == "ok" else None


async def get(store: Store, job_id: str) -> JobRecord | None:
    """Read a job."""
    keys = [store.keys.job(job_id), store.keys.jobs_deadline()]
    outcome, *rest = await store.scripts.run("get_job", keys, [job_id])
    return to_job(job_id, to_fields(rest[1]), int(rest[0])) if outcome == "ok" else None


async def list_jobs(
    store: Store, status: JobStatus | None = None, limit: int = 100, cursor: str | None = None
) -> Page[JobRecord]:
    """Read a page of jobs, those first that changed last. One that changes between two pages may come twice.

    :param limit: 1 to 1000; others are brought into these bounds.
    :raises BadCursor: no page of this list gave ``cursor``.
    """
    limit = min(max(limit, 1), 1000)
    match = _CURSOR.fullmatch(cursor) if cursor else None
    if cursor and match is None:
        raise BadCursor("this is not a cursor of the jobs' list")
    before = (match[1], match[2]) if match else ("+inf", "")
    keys = [store.keys.jobs(one) for one in ([status] if status else JobStatus)]
    _, *rows = await store.scripts.run("job_list", keys, [store.keys.root, *before, limit])
    found = tuple(to_job(row[0], to_fields(row[3]), int(row[2])) for row in rows if row[3])
    return Page(found, f"{rows[-1][1]}:{rows[-1][0]}" if len(rows) == limit else None)


async def counts(store: Store) -> dict[JobStatus, int]:
    """Count the jobs of each status; of ended ones those that are still listed."""
    return {status: int(await store.call("ZCARD", store.keys.jobs(status))) for status in JobStatus}


async def _update(  # noqa: PLR0913  (each is a word of what the node said)
    store: Store, job_id: str, attempt_id: int, node_id: str, incarnation: str, *, status: JobStatus, verdict: str = "",
    error_code: str = "", error_message: str | None = None, timings: Mapping[str, float] | None = None,
) -> Transition:  # fmt: skip
    args: list[Word] = [
        store.keys.root, store.keys.session_root, job_id, attempt_id, node_id, incarnation, status.value, verdict,
        error_code, _message(error_message), _timings(timings),
    ]  # fmt: skip
    surely = status in TERMINAL
    reply = await store.scripts.run("update_job_status", [store.keys.job(job_id)], args, surely=surely)
    return _transition(job_id, reply)


def _transition(job_id: str, reply: list[Any]) -> Transition:
    match reply:
        case ["ok", others, record]:
            return Transition("ok", to_job(job_id, to_fields(record)), to_assigned_all(others))
        case ["ok", others]:
            return Transition("ok", None, to_assigned_all(others)) if others else _OK
        case [outcome, record]:
            return Transition(outcome, to_job(job_id, to_fields(record)))
        case [outcome]:
            return Transition(outcome)
    raise AssertionError(reply)  # pragma: no cover


_OK = Transition("ok")


def _message(text: str | None) -> str:
    return text[:_ERROR_CHARS] if text else ""


def _timings(timings: Mapping[str, float] | None) -> str:
    if not timings:
        return ""
    return orjson.dumps({name: round(value, 1) for name, value in timings.items()}).decode()
