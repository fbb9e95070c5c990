#!lua
--[[
session_touch: let a session's record live on, by the connection that holds it.

KEYS[1]  hash  the session
KEYS[2]  zset  the sessions by the ms at which their record lapses

ARGV[1]  session_id
ARGV[2]  generation  of the caller's attach
ARGV[3]  ttl_ms      integer > 0, from now

Returns  {"ok"}
         {"replaced", generation}  a later attach holds it
         {"missing"}               closed or lapsed

Clock    Redis TIME
Repeat   safe: a second call only moves the end again.
]]
local generation = redis.call("HGET", KEYS[1], "generation")
if not generation then
  return { "missing" }
end
if generation ~= ARGV[2] then
  return { "replaced", tonumber(generation) }
end

local now = now_ms()
redis.call("HSET", KEYS[1], "touched_ms", now)
redis.call("PEXPIREAT", KEYS[1], now + ARGV[3])
redis.call("ZADD", KEYS[2], now + ARGV[3], ARGV[1])
return { "ok" }
