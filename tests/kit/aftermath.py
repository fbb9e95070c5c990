"""What is left of work in the store: nothing, when all is quiet again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def _members(store: redis.Redis, name: str) -> list[str]:
    return [_text(member) for member in _replies(store.zrange(ROOT + name, 0, -1))]


def _replies(reply: Any) -> Any:
    return reply


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
