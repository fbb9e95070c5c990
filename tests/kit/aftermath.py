"""What must hold when all is quiet again, whatever broke: nothing is left over, and every count equals a recount."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis

ROOT = "lingua:v1:"
UNFINISHED = ("pending", "assigned", "dispatched", "accepted", "processing")


def leftovers(store: redis.Redis) -> list[str]:
    """Name what is left of jobs and sessions in the store but the records of what has ended."""
    left = [f"deadline {name}" for name in _members(store, "jobs:deadline")]
    left += [f"{status} {name}" for status in UNFINISHED for name in _members(store, f"jobs:{status}")]
    left += [f"waiting {name}" for name in _members(store, "waiting")]
    left += [f"session {name}" for name in _members(store, "sessions")]
    return left


def miscounts(store: redis.Redis) -> list[str]:
    """Name nodes whose load is not the number of their jobs, or above what they can take (I2, I3, I6)."""
    found = []
    for node_id in sorted(_text(name) for name in _replies(store.smembers(ROOT + "nodes:all"))):
        load, capacity = (
            int(value or 0) for value in _replies(store.hmget(f"{ROOT}node:{node_id}", "load", "capacity"))
        )
        jobs = int(str(store.scard(f"{ROOT}node:{node_id}:jobs")))
        if load != jobs or load > capacity:
            found.append(f"{node_id}: load {load}, {jobs} jobs, capacity {capacity}")
    return found


def keepers(store: redis.Redis) -> list[str]:
    """Name keys of single jobs or sessions that would stay for ever (I7)."""
    names = [_text(name) for pattern in ("job:*", "request:*") for name in store.scan_iter(ROOT + pattern, count=1000)]
    return [name for name in names if int(str(store.ttl(name))) == -1]


def overruns(executions: Mapping[str, list[int]], attempts: int = 3) -> list[str]:
    """Name jobs with an attempt twice or too many attempts (I4, H8)."""
    return [
        f"{job_id}: attempts {tries}"
        for job_id, tries in executions.items()
        if len(tries) != len(set(tries)) or max(tries) > attempts
    ]


def _members(store: redis.Redis, name: str) -> list[str]:
    return [_text(member) for member in _replies(store.zrange(ROOT + name, 0, -1))]


def _replies(reply: Any) -> Any:
    return reply


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
