#!lua
--[[
session_close: forget a session and all it owns, by the connection that holds it. Its jobs live on until they end.

KEYS[1]  hash    the session
KEYS[2]  stream  its events
KEYS[3]  zset    the sessions by the ms at which their record lapses

ARGV[1]  session_id
ARGV[2]  generation  of the caller's attach

Returns  {"ok"}
         {"replaced", generation}  a later attach holds it: nothing was changed
         {"missing"}               closed or lapsed

Clock    none
Repeat   safe: the second call finds it missing.
]]
local generation = redis.call("HGET", KEYS[1], "generation")
if not generation then
  redis.call("ZREM", KEYS[3], ARGV[1])
  return { "missing" }
end
if generation ~= ARGV[2] then
  return { "replaced", tonumber(generation) }
end
redis.call("DEL", KEYS[1], KEYS[2])
redis.call("ZREM", KEYS[3], ARGV[1])
return { "ok" }
