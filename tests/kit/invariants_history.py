"""Invariants of what happened (H1 to H13, and those of I that need more than one moment), each as one function over all
that was recorded of a run."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from kit.invariants_state import MOST_ATTEMPTS, SESSIONS, View
from kit.job_history import RETURNS, steps_of, unseen_in
from kit.job_steps import ENDED
from kit.linear import disorder
from kit.proof import marks
from lingua_state.wants import read_want

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kit.history import Event, Recorded

#: What a log may never say: something was not foreseen, or not put away.
UNFORESEEN: Final = (
    "Traceback",
    "exception was never retrieved",
    "unclosed",
    "was never awaited",
    "uncaught exception",
)
#: What outlives the work it is of: records of what has ended, nodes and their pools, word for an instance that is gone.
KEPT_FOR_A_WHILE: Final = (
    "barrier", "guesses:", "instance:", "job:", "jobs:", "node:", "notices:", "pool:", "request:",
)  # fmt: skip
#: More than it had before the fault, when all is quiet again.
MORE_DESCRIPTORS: Final = 40
MORE_MEMORY_BYTES: Final = 128 * 1024 * 1024


def i4_attempts_never_repeat(recorded: Recorded) -> Iterator[str]:
    """No attempt of a job reaches a node twice, and none has a number above what a job may have (also H8)."""
    for job_id, attempts in _executions(recorded).items():
        if len(attempts) != len(set(attempts)) or max(attempts) > MOST_ATTEMPTS:
            yield f"job {job_id} reached nodes as attempts {attempts}"


def i5_an_end_is_an_end(recorded: Recorded) -> Iterator[str]:
    """A job that has ended stays so, attempts only grow, and so does a session's generation, while the store forgets
    nothing."""
    returns = [event["at_s"] for event in recorded.of(*RETURNS)]
    for earlier, later in pairwise(recorded.snapshots):
        if returns and (earlier["server"] != later["server"] or _between(earlier, returns, later)):
            continue
        after = View(later).jobs
        for job_id, record in View(earlier).jobs.items():
            new = after.get(job_id)
            if new is None:
                yield f"job {job_id} was {record['status']} and is gone"
            elif record["status"] in ENDED and (new["status"], new["attempt_id"]) != (
                record["status"], record["attempt_id"],
            ):  # fmt: skip
                yield f"job {job_id} had ended as {record['status']} and is {new['status']}"
            elif int(new["attempt_id"]) < int(record["attempt_id"]):
                yield f"job {job_id} was at attempt {record['attempt_id']} and is at {new['attempt_id']}"
    if not returns:
        yield from _generations(recorded)


def i7_back_to_the_baseline(recorded: Recorded) -> Iterator[str]:
    """When all is quiet, the store holds what it held before anybody came, and records of what has ended."""
    if len(recorded.snapshots) < 2:
        return
    first, last = View(recorded.snapshots[0]), View(recorded.snapshots[-1])
    yield from (f"job {job_id} is {last.jobs[job_id]['status']}" for job_id in last.unfinished)
    yield from (f"{name} is left" for name in last.rows if name.startswith(SESSIONS))
    for name in set(last.values) - set(first.values):
        if not name.startswith(KEPT_FOR_A_WHILE):
            yield f"{name} is left"


def i11_no_epoch_comes_back(recorded: Recorded) -> Iterator[str]:
    """The store's epoch, as the schedulers read it, never goes back to one before, unless an older state came back."""
    if any(recorded.of("brought_back", "cut_tail", "failed_over")):
        return
    now, left_s = "", dict[str, float]()
    for call in recorded.calls("epoch"):
        epoch = call["epoch"]
        if epoch in left_s and call["began_s"] > left_s[epoch]:
            yield f"epoch {epoch} came back after {now}"
        elif epoch not in left_s and epoch != now:
            left_s[now] = call["at_s"]
            now = epoch


def h1_one_outcome(recorded: Recorded) -> Iterator[str]:
    """Whatever was said has exactly one outcome; no more than the row allows has none but an error."""
    heard, refused = (Counter(event["said"] for event in recorded.of(kind)) for kind in ("heard", "refused"))
    allowed = sum(event.get("lost_allowed", 0) for event in recorded.of("settled"))
    for event in recorded.of("said"):
        outcomes = heard[event["said"]] + refused[event["said"]]
        if outcomes != 1:
            yield f"{event['said']} of {event['talker']} has {outcomes} outcomes"
    if sum(refused.values()) > allowed:
        words = Counter(event["word"] for event in recorded.of("refused"))
        yield f"{sum(refused.values())} were refused ({dict(words)}), {allowed} may be"


def h2_nothing_twice(recorded: Recorded) -> Iterator[str]:
    """Nobody hears a result twice."""
    for said, times in Counter(event["said"] for event in recorded.of("heard")).items():
        if times > 1:
            yield f"{said} was heard {times} times"


def h3_to_who_said_it(recorded: Recorded) -> Iterator[str]:
    """A result comes to who said it, as an utterance of their own session, from a node that had just that."""
    yield from (f"{event['talker']} heard what they never said" for event in recorded.of("strayed"))
    sayers = {event["said"]: event["talker"] for event in recorded.of("said")}
    worked = {(event["audio"], event["session"], event["index"]) for event in recorded.of("job")}
    sessions = defaultdict(set)
    for event in recorded.of("opened"):
        sessions[event["talker"]].add(event["session"])
    for event in recorded.of("heard"):
        said, talker, session = event["said"], event["talker"], event.get("session", "")
        if sayers.get(said) != talker:
            yield f"{talker} heard {said}, which {sayers.get(said)} said"
        if session not in sessions[talker]:
            yield f"{talker} heard {said} proven for no session of theirs"
        elif (said, session, event["index"]) not in worked:
            yield f"{said} was heard as {session}/{event['index']}, and no node had that"


def h4_no_other_tenant(recorded: Recorded) -> Iterator[str]:
    """Nothing of one tenant's comes to another's connection, or into a job of another's."""
    tenants = {event["session"]: event["tenant"] for event in recorded.of("opened")}
    for event in recorded.of("heard"):
        if tenants.get(event.get("session", "")) not in (None, event["tenant"]):
            yield f"{event['talker']} of {event['tenant']} heard what is {tenants[event['session']]}'s"
    for call in recorded.calls("dispatch"):
        tenant = read_want(call["want"]).tenant
        if tenants.get(call["session_id"], tenant) != tenant:
            yield f"job {call['job_id']} of {tenants[call['session_id']]}'s session was dispatched as {tenant}'s"


def h5_from_the_holder(recorded: Recorded) -> Iterator[str]:
    """What ended a job came from the node to which that attempt was given, and which had it in its hands."""
    given = {(job_id, attempt, node, incarnation) for job_id, attempt, node, incarnation in _assignments(recorded)}
    known = {job_id for job_id, *_ in given}
    writers = {event["process"] for event in recorded.of("registered")}
    worked = {(event["process"], event["job_id"], event["attempt"]) for event in recorded.of("job")}
    unseen = unseen_in(recorded).windows
    for call in recorded.calls("update_job_status"):
        if call["outcome"] != "ok" or call["status"] not in ENDED:
            continue
        job_id, attempt, node = call["job_id"], int(call["attempt_id"]), call["node_id"]
        if not unseen and job_id in known and (job_id, attempt, node, call["incarnation"]) not in given:
            yield f"job {job_id} was ended by {node}, which attempt {attempt} was not given to"
        if node in writers and (node, job_id, attempt) not in worked:
            yield f"job {job_id} was ended as attempt {attempt} by {node}, which never had it"


def h6_nothing_after_drain(recorded: Recorded) -> Iterator[str]:
    """A node that was told to drain, and said so, gets nothing new until it is let back or comes again."""
    drains = [call for call in recorded.calls("node_drain") if call["outcome"] == "ok" and call["drained"] == "1"]
    backs = [call for call in recorded.calls("node_drain", "register_node_v2") if call.get("drained", "") != "1"]
    for drain in drains:
        after_s, node = drain["at_s"], drain["node_id"]
        until_s = min(
            (one["began_s"] for one in backs if one["node_id"] == node and one["at_s"] > after_s), default=1e18
        )
        for call, job_id in _given_to(recorded, node):
            if after_s < call["began_s"] < until_s:
                yield f"job {job_id} was given to {node}, which drains"


def h7_to_the_able(recorded: Recorded) -> Iterator[str]:
    """A job goes to a node that is in, hears and speaks what is wanted, and was not excluded."""
    able = {
        event["process"]: (event["hears"], event["speaks"]) for event in recorded.of("registered") if "hears" in event
    }
    wants = {call["job_id"]: read_want(call["want"]).pair for call in recorded.calls("dispatch")}
    joined = {(call["node_id"], call["incarnation"]) for call in recorded.of("call", "call_failed") if _joins(call)}
    whole = not unseen_in(recorded).windows
    for job_id, _, node, incarnation in _assignments(recorded):
        pair = wants.get(job_id)
        if pair and node in able and (pair.source not in able[node][0] or pair.target not in able[node][1]):
            yield f"job {job_id} for {pair} was given to {node}, which is not able to"
        if whole and (node, incarnation) not in joined:
            yield f"job {job_id} was given to {node} as one that never came in"
    for call in recorded.calls("dispatch", "failover_job"):
        placed = call.get("placed", ())
        if len(placed) > 1 and not call.get("again") and placed[2] in call["exclude"].split(","):
            yield f"job {placed[0]} was given to {placed[2]}, which was excluded"


def h8_once_without_faults(recorded: Recorded) -> Iterator[str]:
    """Where nothing was broken, each job that was taken was done once."""
    if not any(event.get("calm") for event in recorded.of("settled")):
        return
    taken = {call["placed"][0] for call in recorded.calls("dispatch") if call["outcome"] in ("assigned", "waiting")}
    runs = sum(map(len, _executions(recorded).values()))
    if not taken or runs != len(taken):
        yield f"{len(taken)} jobs were taken and {runs} attempts were made"


def h9_nothing_vanishes(recorded: Recorded) -> Iterator[str]:
    """What was taken has ended in some way or is in flight, at each snapshot, while the store forgets nothing; and each
    scheduler's own counts say the same."""
    returns = [event["at_s"] for event in recorded.of(*RETURNS)]
    taken = [call for call in recorded.calls("dispatch") if call["outcome"] in ("assigned", "waiting")]
    for snapshot in recorded.snapshots:
        if any(at_s <= snapshot["at_s"] for at_s in returns):
            break  # what is gone from here on may be forgotten
        there = View(snapshot).jobs
        gone = [call for call in taken if call["at_s"] < snapshot["began_s"] and call["placed"][0] not in there]
        yield from (f"job {call['placed'][0]} was taken and has no record" for call in gone)
    for event in recorded.of("counted"):
        if event["in_flight"] != 0:
            yield f"{event['name']} counts {event['in_flight']} jobs in flight when all is quiet"


def h10_an_order_exists(recorded: Recorded) -> Iterator[str]:
    """What was told of each job fits one order of the steps that its state machine allows."""
    unseen = unseen_in(recorded)
    for job_id, steps in steps_of(recorded).items():
        wrong = disorder(steps, unseen)
        if wrong:
            yield f"job {job_id}: {wrong}"


def h11_all_is_done_in_the_end(recorded: Recorded) -> Iterator[str]:
    """After the fault everything that was begun comes to an end, within the time that is given for it."""
    for event in recorded.of("settled"):
        if event["quiet_s"] > event["quiet_within_s"]:
            yield f"all was done {event['quiet_s']:.0f} s after the last word, not in {event['quiet_within_s']:.0f}"
    if not any(recorded.of("settled")):
        yield "the run never came to rest"


def h12_bounded(recorded: Recorded) -> Iterator[str]:
    """A process that lived through it has about as many descriptors and as much memory as before."""
    samples: dict[tuple[str, int], list[Event]] = defaultdict(list)
    for event in recorded.of("sampled"):
        samples[event["name"], event["pid"]].append(event)
    for (name, _), (first, *_, last) in ((key, rows) for key, rows in samples.items() if len(rows) > 1):
        if last["descriptors"] > first["descriptors"] + MORE_DESCRIPTORS:
            yield f"{name} has {last['descriptors']} descriptors, {first['descriptors']} before"
        if last["rss_bytes"] > first["rss_bytes"] + MORE_MEMORY_BYTES:
            yield f"{name} has {last['rss_bytes'] >> 20} MiB, {first['rss_bytes'] >> 20} before"


def h13_nothing_unforeseen(recorded: Recorded) -> Iterator[str]:
    """No log tells of what nobody foresaw, or what anybody said."""
    said = [mark.decode("latin-1") for mark in marks()]
    for name, lines in recorded.logs.items():
        for line in lines:
            if any(word in line for word in (*UNFORESEEN, *said)) or _is_fault(line):
                yield f"{name}: {line[:300]}"


def _is_fault(line: str) -> bool:
    if not line.startswith("{"):
        return False
    told = json.loads(line)
    return told.get("level") in ("error", "critical") or "error" in told


def order_of_speaking(recorded: Recorded) -> Iterator[str]:
    """Everybody hears results in the order in which they spoke."""
    said_at = {event["said"]: number for number, event in enumerate(recorded.of("said"))}
    last: dict[str, int] = {}
    for event in recorded.of("heard"):
        number = said_at.get(event["said"], -1)
        if number < last.get(event["talker"], -1):
            yield f"{event['talker']} heard {event['said']} after what was said later"
        last[event["talker"]] = number


HISTORY: Final[dict[str, Callable[[Recorded], Iterator[str]]]] = {
    "I4": i4_attempts_never_repeat,
    "I5": i5_an_end_is_an_end,
    "I7": i7_back_to_the_baseline,
    "I11": i11_no_epoch_comes_back,
    "H1": h1_one_outcome,
    "H2": h2_nothing_twice,
    "H3": h3_to_who_said_it,
    "H4": h4_no_other_tenant,
    "H5": h5_from_the_holder,
    "H6": h6_nothing_after_drain,
    "H7": h7_to_the_able,
    "H8": h8_once_without_faults,
    "H9": h9_nothing_vanishes,
    "H10": h10_an_order_exists,
    "H11": h11_all_is_done_in_the_end,
    "H12": h12_bounded,
    "H13": h13_nothing_unforeseen,
    "S2": order_of_speaking,
}


def _between(earlier: Event, times: list[float], later: Event) -> bool:
    return any(earlier["began_s"] <= at_s <= later["at_s"] for at_s in times)


def _executions(recorded: Recorded) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for event in recorded.of("job"):
        found[event["job_id"]].append(event["attempt"])
    return found


def _assignments(recorded: Recorded) -> Iterator[tuple[str, int, str, str]]:
    for call in recorded.of("call"):
        placed = [call["placed"]] if len(call.get("placed", ())) > 1 else []
        for job_id, attempt, node, incarnation, *_ in [*call.get("assigned", ()), *placed]:
            yield job_id, attempt, node, incarnation


def _given_to(recorded: Recorded, node: str) -> Iterator[tuple[Event, str]]:
    for call in recorded.of("call"):
        rows = [*call.get("assigned", ()), *([call["placed"]] if call.get("outcome") == "assigned" else [])]
        yield from ((call, row[0]) for row in rows if row[2] == node)


def _joins(call: Event) -> bool:
    return bool(call["script"] == "register_node_v2")


def _generations(recorded: Recorded) -> Iterator[str]:
    last: dict[str, Event] = {}
    for call in sorted(recorded.calls("session_attach", "session_resume"), key=lambda call: call["began_s"]):
        before = last.get(call["session_id"])
        if call.get("now") and before and before["at_s"] < call["began_s"] and call["now"] <= before["now"]:
            yield f"session {call['session_id']} was in generation {before['now']} and got {call['now']}"
        if call.get("now"):
            last[call["session_id"]] = call
