"""All keys of a store at one moment, read by one script: what must hold after every step must hold in it too."""

from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from kit.history import Event

#: Whoever does not answer within this time is not looked at now.
_PATIENCE_S: Final = 5.0
_READ: Final = """#!lua flags=no-writes
local function value(kind, key)
  if kind == "string" then return redis.call("GET", key) end
  if kind == "hash" then return redis.call("HGETALL", key) end
  if kind == "set" then return redis.call("SMEMBERS", key) end
  if kind == "zset" then return redis.call("ZRANGE", key, 0, -1, "WITHSCORES") end
  if kind == "list" then return redis.call("LRANGE", key, 0, -1) end
  return redis.call("XRANGE", key, "-", "+")
end
local found, cursor = {}, "0"
repeat
  local page = redis.call("SCAN", cursor, "COUNT", 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    local kind = redis.call("TYPE", key).ok
    if kind ~= "none" then
      found[#found + 1] = { key, kind, redis.call("PTTL", key), redis.call("MEMORY", "USAGE", key), value(kind, key) }
    end
  end
until cursor == "0"
return found
"""
_COUNT: Final = """#!lua flags=no-writes
local keys, size, cursor = 0, 0, "0"
repeat
  local page = redis.call("SCAN", cursor, "COUNT", 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    if not string.find(key, ":job:", 1, true) and not string.find(key, ":jobs:", 1, true) then
      keys, size = keys + 1, size + (redis.call("MEMORY", "USAGE", key) or 0)
    end
  end
until cursor == "0"
return { keys, size }
"""


def take(client: redis.Redis) -> Event:
    """Read everything at once: ``keys`` has name, type, ``ttl_ms`` (-1: none), ``bytes`` of memory and value of each.

    Bytes that are no text are kept one to one (Latin-1), so that audio would be found.
    """
    client.connection_pool.connection_kwargs |= {
        "decode_responses": True, "encoding": "latin-1", "socket_timeout": _PATIENCE_S,
    }  # fmt: skip
    server: Any = client.info("server")
    began_s = time.monotonic()
    rows: Any = client.execute_command(  # type: ignore[no-untyped-call]
        "EVAL_RO", _READ, 0
    )
    keys = [
        {"name": name, "type": kind, "ttl_ms": ttl_ms, "bytes": size, "value": _shaped(kind, value)}
        for name, kind, ttl_ms, size, value in rows
    ]
    return {"began_s": began_s, "at_s": time.monotonic(), "server": server["run_id"], "keys": keys}


def beside_jobs(client: redis.Redis) -> tuple[int, int]:
    """Count the keys, and the bytes of memory they take, beside the records of ended jobs: these live for an hour."""
    client.connection_pool.connection_kwargs["socket_timeout"] = _PATIENCE_S
    keys, size_bytes = client.execute_command("EVAL_RO", _COUNT, 0)  # type: ignore[no-untyped-call]
    return int(keys), int(size_bytes)


def write(snapshot: Event, path: Path) -> None:
    """Keep one."""
    with gzip.open(path, "wt", compresslevel=3) as sink:
        json.dump(snapshot, sink)


def read(path: Path) -> Event:
    """Read one again."""
    with gzip.open(path, "rt") as source:
        return dict(json.load(source))


def _shaped(kind: str, value: Any) -> Any:
    if kind == "hash":
        return dict(zip(value[::2], value[1::2], strict=True))
    if kind == "zset":
        return {member: float(score) for member, score in zip(value[::2], value[1::2], strict=True)}
    return sorted(value) if kind == "set" else value
