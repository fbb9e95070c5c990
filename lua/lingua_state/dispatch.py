"""Give a finalized utterance a node, in one call; say which node it would be, and why not each other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from lingua_state.errors import NoNode, QueueFull, SessionReplaced, StoreFault
from lingua_state.models import Candidate, Capability, Explanation, Pair, Waiting
from lingua_state.records import to_assigned, to_assigned_all, to_fields, to_job
from lingua_state.wants import want_of

if TYPE_CHECKING:
    from lingua_state.client import Store
    from lingua_state.models import Assigned, DispatchRequest, JobRecord
    from lingua_state.multiplexed import Word
    from lingua_state.wants import Want

#: How long a job's record lives, from its creation.
JOB_TTL_MS = 3_600_000
#: Nodes that an explanation looks at, at most.
EXPLAINED_NODES = 2_000
_PAGE = 200


async def dispatch(store: Store, request: DispatchRequest) -> Assigned | Waiting | JobRecord:
    """Find a node for a job, take a slot of it and write the job; or let the job wait.

    Safe to repeat: the job is known by its id and by its request id, and the first answer comes again while it holds;
    a job that went further since is answered by its record.

    :raises NoNode: none is free and ``wait_ms`` is 0. :raises QueueFull: too many wait for the same already.
    :raises SessionReplaced: a later attach than ``generation`` holds the session; nothing was changed.
    :raises ValueError: a field of the request is out of its bounds.
    """
    check(request)
    want = str(want_of(request))
    keys = [
        store.keys.job(request.job_id),
        store.keys.session(request.session_id),
        store.keys.request(request.tenant, request.request_id or request.job_id),
        store.keys.waiting(want),
    ]
    args: list[Word] = [
        store.keys.root, store.keys.session_root, request.job_id, request.session_id, request.owner, want,
        request.turn_id, request.utterance_index + 1, request.priority, request.wait_ms, request.turn_wait_ms,
        request.handover_ms, run_ms(request), request.max_attempts, ",".join(request.exclude), request.queue_limit,
        JOB_TTL_MS, 1 if request.request_id else 0, kept(request), request.generation,
    ]  # fmt: skip
    outcome, *rest = await store.scripts.run("dispatch", keys, args, surely=True)
    if outcome == "no_node":
        raise NoNode(f"no node is free for {want}")
    if outcome == "queue_full":
        raise QueueFull(f"{rest[0]} jobs wait for {want} already")
    if outcome == "replaced":
        raise SessionReplaced(f"{request.session_id} is held in generation {rest[0]}")
    return placed(outcome, rest)


def placed(outcome: str, rest: list[Any]) -> Assigned | Waiting | JobRecord:
    """Read where a job was placed, as dispatch and failover answer it."""
    match outcome, rest:
        case "assigned", [row, others]:
            return to_assigned(row, others)
        case "waiting", [job_id, until_ms, ahead, others]:
            return Waiting(job_id, int(until_ms), int(ahead or 0), to_assigned_all(others))
        case "known", [job_id, due_ms, record]:
            return to_job(job_id, to_fields(record), int(float(due_ms)))
    raise StoreFault(f"an outcome nobody knows: {outcome}")


async def select(store: Store, request: DispatchRequest) -> str | None:
    """Tell which node the job would get now; nothing is taken. None: it would wait."""
    outcome, *rest = await _select(store, want_of(request), request)
    return str(rest[0]) if outcome == "ok" else None


async def explain(store: Store, request: DispatchRequest) -> Explanation:
    """Tell which node the job would get now, and of each node (2 000 at most) why, or why not; nothing is taken."""
    want = want_of(request)
    chosen = await select(store, request)
    found: list[Candidate] = []
    cursor: Any = "0"
    while len(found) < EXPLAINED_NODES:
        cursor, ids = await store.call("SSCAN", store.keys.nodes_all(), cursor, "COUNT", _PAGE)
        for start in range(0, len(ids), _PAGE):
            found += await _judge(store, want, request, ids[start : start + _PAGE])
        if str(cursor) == "0":
            break
    by_id = {candidate.node_id: candidate for candidate in found}
    ranked = sorted(by_id.values(), key=lambda one: (one.node_id != chosen, not one.eligible, one.score, one.node_id))
    return Explanation(chosen, tuple(_named(candidate, chosen) for candidate in ranked))


def check(request: DispatchRequest) -> None:
    """Refuse what no script could keep.

    :raises ValueError: a field is out of its bounds.
    """
    if not 0 <= request.priority <= 9:
        raise ValueError(f"priority is 0 to 9, not {request.priority}")
    if not 0 <= request.wait_ms <= JOB_TTL_MS // 2:
        raise ValueError(f"wait_ms is 0 to {JOB_TTL_MS // 2}, not {request.wait_ms}")
    if min(request.timeout_ms, request.handover_ms, request.max_attempts) < 1 or request.turn_wait_ms < 0:
        raise ValueError("timeout_ms, handover_ms and max_attempts are at least 1, turn_wait_ms at least 0")


def run_ms(request: DispatchRequest) -> int:
    """Bound the run: four times what is expected and 5 s, where that is known, never more than ``timeout_ms``."""
    if not request.expected_ms:
        return request.timeout_ms
    return min(request.timeout_ms, 5_000 + 4 * request.expected_ms)


def kept(request: DispatchRequest) -> str:
    """Write what is kept of a request with its job: for the scripts, for people and for other instances."""
    fields: dict[str, Any] = {
        "session_id": request.session_id,
        "owner": request.owner,
        "want": str(want_of(request)),
        "turn_id": request.turn_id,
        "utterance_index": request.utterance_index,
        "request_id": request.request_id,
        "trace_id": request.trace_id,
        "finalize_reason": request.finalize_reason,
        "audio_ms": request.audio_ms,
        "audio_format": request.audio_format,
        "sample_rate": request.sample_rate,
        "expected_ms": request.expected_ms,
        "details": request.details,
    }
    return orjson.dumps({name: value for name, value in fields.items() if value or name == "turn_id"}).decode()


async def _select(store: Store, want: Want, request: DispatchRequest) -> list[Any]:
    args: list[Word] = [
        store.keys.root, store.keys.session_root, request.session_id, str(want), request.turn_id,
        ",".join(request.exclude),
    ]  # fmt: skip
    return await store.scripts.run("select_node", [store.keys.session(request.session_id)], args)


async def _judge(store: Store, want: Want, request: DispatchRequest, ids: list[str]) -> list[Candidate]:
    args: list[Word] = [store.keys.root, store.keys.session_root, str(want), ",".join(request.exclude), *ids]
    _, *rows = await store.scripts.run("explain_nodes", [store.keys.node(node_id) for node_id in ids], args)
    return [_candidate(want, *row) for row in rows]


def _candidate(want: Want, node_id: str, pool_id: str, reason: str, score: int, definition: str) -> Candidate:
    if reason == "not_offered" and definition and _would_offer(Capability.read(definition), want):
        reason = "other_scope"
    return Candidate(node_id, pool_id, reason in {"eligible", "probing"}, reason, int(score))


def _would_offer(capability: Capability, want: Want) -> bool:
    served = set(capability.listed_pairs())
    if want.both_ways:
        first, second = want.languages
        return {Pair(first, second), Pair(second, first)} <= served
    if want.languages:
        return any(Pair(language, want.pair.target) in served for language in want.languages)
    return want.pair in served


def _named(candidate: Candidate, chosen: str | None) -> Candidate:
    if candidate.node_id != chosen:
        return candidate
    return Candidate(candidate.node_id, candidate.pool_id, candidate.eligible, "chosen", candidate.score)
