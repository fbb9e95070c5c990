"""recorded_scheduler.py HISTORY NAME: a scheduler as it is, that notes each call of a script which moves jobs, nodes or
sessions: when it began and ended, its ids, its outcome, and whom it gave or took work. Now and then it notes how many
tasks it has.

A process that is killed leaves calls without a line: whatever they did is then unknown to the checker too.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kit.history import History
from lingua_scheduler.__main__ import main
from lingua_state.loader import source
from lingua_state.runner import Scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Of the arguments, what is noted.
_NOTED = frozenset(
    {"job_id", "session_id", "owner", "want", "exclude", "attempt_id", "node_id", "incarnation", "status", "reason"}
    | {"max_attempts", "instance_id", "pool_id", "capacity", "tenant", "drained", "generation", "after"}
)
_JOBS = frozenset(
    {"dispatch", "create_job", "failover_job", "end_job", "update_job_status", "mark_job_dispatched", "sweep"}
)
_NODES = frozenset({"register_node_v2", "heartbeat_with_pool_assign", "node_drain", "node_offline"})
_SESSIONS = frozenset({"session_attach", "session_resume", "session_close", "epoch"})
_ASSIGNED, _LOST, _ENDED = 11, 7, 4
_LOOK_S = 5.0


def rows_of(script: str, reply: Sequence[Any]) -> dict[str, list[list[Any]]]:
    """Find what a reply tells of other jobs: who was given to a node, whose attempt ended, who ended."""
    found: dict[str, list[list[Any]]] = {"assigned": [], "lost": [], "ended": []}
    if script == "sweep":
        _, found["lost"], found["ended"], _, found["assigned"], *_ = reply
        return found
    for part in reply[1:]:
        if not isinstance(part, list) or not part or not isinstance(part[0], list):
            continue
        kind = {_ASSIGNED: "assigned", _LOST: "lost", _ENDED: "ended"}.get(len(part[0]))
        if kind:
            found[kind] += part
    return found


def told(script: str, reply: Sequence[Any]) -> dict[str, Any]:
    """Take from a reply what the checker needs, without what may be long."""
    rows = rows_of(script, reply)
    noted: dict[str, Any] = {
        "assigned": [[row[0], int(row[3]), row[4], row[5], row[1]] for row in rows["assigned"]],
        "lost": [[row[0], int(row[3]), row[4], row[5]] for row in rows["lost"]],
        "ended": [[row[0], row[3]] for row in rows["ended"]],
    }
    match script, reply:
        case "dispatch" | "failover_job", ["assigned", row, *_]:
            noted["placed"] = [row[0], int(row[3]), row[4], row[5]]
        case "dispatch" | "failover_job", ["waiting", job_id, *_]:
            noted["placed"] = [job_id]
        case "dispatch" | "failover_job", ["known", job_id, _, record]:
            noted["placed"], noted["record"] = [job_id], _record(record)
        case "sweep", [_, _, _, expired, *_]:
            noted["expired"] = expired
        case "session_attach" | "session_resume", ["ok", generation, *_]:
            noted["now"] = int(generation)
        case "epoch", [_, epoch]:
            noted["epoch"] = epoch
    return {name: value for name, value in noted.items() if value}


def _record(flat: Sequence[str]) -> dict[str, str]:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return {name: fields.get(name, "") for name in ("status", "attempt_id", "node_id", "queue", "lost")}


@cache
def positions(script: str) -> tuple[tuple[int, str], ...]:
    """Read from a script's header where the noted arguments stand."""
    header = source(script).partition("]]")[0]
    found = re.findall(r"^ARGV\[(\d+)\]\s+(\w+)", header, re.MULTILINE)
    return tuple((int(number) - 1, name) for number, name in found if name in _NOTED)


def recording(run: Callable[..., Any], history: History) -> Callable[..., Any]:
    """Make of ``Scripts.run`` one that notes what it does."""

    looked_s = 0.0

    def look() -> None:
        nonlocal looked_s
        if time.monotonic() > looked_s + _LOOK_S:
            looked_s = time.monotonic()
            history.note("tasks", pid=os.getpid(), count=len(asyncio.all_tasks()))

    async def recorded(
        self: Scripts, name: str, keys: Sequence[str], args: Sequence[Any] = (), *, surely: bool = False
    ) -> list[Any]:
        if name not in _JOBS | _NODES | _SESSIONS:
            return await run(self, name, keys, args, surely=surely)  # type: ignore[no-any-return]
        look()
        policy = self._call.__self__  # type: ignore[attr-defined]
        began_s, retries = time.monotonic(), policy.retries
        said = {word: str(args[at]) for at, word in positions(name)}
        call = {"script": name, "began_s": began_s, **said}
        try:
            reply = await run(self, name, keys, args, surely=surely)
        except BaseException as error:
            history.note("call_failed", error=type(error).__name__, **call)
            raise
        # Tries of any call meanwhile: this one may have been made twice.
        again = {"again": True} if policy.retries != retries else {}
        noted = told(name, reply)
        if noted or name != "sweep":
            history.note("call", outcome=str(reply[0]), **call, **noted, **again)
        return reply  # type: ignore[no-any-return]

    return recorded


if __name__ == "__main__":
    written = History(Path(sys.argv[1]), sys.argv[2])
    del sys.argv[1:]
    Scripts.run = recording(Scripts.run, written)  # type: ignore[method-assign]
    try:
        main()
    finally:
        written.note("ended")
