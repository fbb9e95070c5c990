"""Give a store an earlier past, or another time: what a restored copy and a clock that jumps do to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

    from lingua_state.keys import Keys

#: The first three words of a job's terms are times; the others are lengths (prelude_jobs).
_TIMES_OF_TERMS = 3
_NODE_TIMES = ("lease_expires_ms", "warm_until_ms", "quarantined_until_ms")


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """Everything a store held at one moment, and the ms that each key still had to live (0: no end)."""

    rows: tuple[tuple[str, int, bytes], ...]

    @classmethod
    def of(cls, raw: redis.Redis) -> StoreCopy:
        """Copy a store. ``raw`` gives bytes as they are."""
        found: Any = raw.scan_iter("*", count=1000)
        kept = [(key.decode(), max(0, int(raw.pttl(key))), raw.dump(key)) for key in found]
        return cls(tuple((key, ttl_ms, value) for key, ttl_ms, value in kept if value is not None))

    def put_back(self, raw: redis.Redis) -> None:
        """Let the store be as it was: what came since is lost. Scripts stay loaded."""
        raw.flushall()
        with raw.pipeline() as pipe:
            for key, ttl_ms, value in self.rows:
                pipe.restore(key, ttl_ms, value)
            pipe.execute()


def let_time_jump(raw: redis.Redis, keys: Keys, by_ms: int) -> None:
    """Move every time that a script compares with the clock, as if that had jumped by ``by_ms``.

    Times to live stay: a server moves them with its own clock.
    """
    with raw.pipeline() as pipe:
        for name in raw.scan_iter(f"{keys.root}*", count=1000):
            key = str(name)
            kind = key.removeprefix(keys.root)
            if kind in ("jobs:deadline", "nodes:lease", "waiting") or _is_queue(kind):
                rows: Any = raw.zrange(key, 0, -1, withscores=True)
                for member, score in rows:
                    pipe.zadd(key, {member: score - by_ms})
            elif kind.startswith("job:"):
                terms = str(raw.hget(key, "terms")).split(" ")
                times = [str(int(word) - by_ms) for word in terms[:_TIMES_OF_TERMS]]
                pipe.hset(key, "terms", " ".join([*times, *terms[_TIMES_OF_TERMS:]]))
            elif kind.startswith("node:") and kind.count(":") == 1:
                told_ms: Any = raw.hmget(key, *_NODE_TIMES)
                for field, told in zip(_NODE_TIMES, told_ms, strict=True):
                    if int(told or 0) > 0:
                        pipe.hset(key, field, int(told) - by_ms)
        pipe.execute()


def _is_queue(kind: str) -> bool:
    return kind.startswith(("waiting:", "waits:")) or (kind.startswith("node:") and kind.endswith(":waiting"))
