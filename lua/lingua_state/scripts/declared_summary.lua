#!lua flags=no-writes
--[[
declared_summary: tell in one look whether anything about declarations changed: sums that are equal where the contents
are, in whatever order they came about.

KEYS[1]  string  the epoch
KEYS[2]  hash    every declaration
KEYS[3]  hash    the sums

Returns  {"ok", epoch, count, a, b, c, live}  epoch: "" if the store has none yet

Clock    none
Repeat   safe: it writes nothing.
]]
local v = redis.call("HMGET", KEYS[3], "a", "b", "c", "live")
return { "ok", redis.call("GET", KEYS[1]) or "", redis.call("HLEN", KEYS[2]), v[1] or "0", v[2] or "0", v[3] or "0",
  v[4] or "0" }
