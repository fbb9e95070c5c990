#!lua
--[[
session_languages: change what a session hears and speaks, by the connection that holds it.

KEYS[1]  hash  the session

ARGV[1]  generation  of the caller's attach
ARGV[2]  source      language heard, or auto
ARGV[3]  target      language spoken

Returns  {"ok"}
         {"replaced", generation}  a later attach holds it
         {"missing"}               closed or lapsed

Clock    none
Repeat   safe: it sets the same values.
]]
local generation = redis.call("HGET", KEYS[1], "generation")
if not generation then
  return { "missing" }
end
if generation ~= ARGV[1] then
  return { "replaced", tonumber(generation) }
end
redis.call("HSET", KEYS[1], "source", ARGV[2], "target", ARGV[3])
return { "ok" }
