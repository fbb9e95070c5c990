#!lua
--[[
session_events: keep what a session's client was told until it has it, by the connection that holds the session.

KEYS[1]  hash    the session
KEYS[2]  stream  its events

ARGV[1]     generation  of the caller's attach
ARGV[2]     acked       the number of the last event that the client has
ARGV[3]     seq         the number of the last event told, kept here or not
ARGV[4]     consumed    the first sample that no outcome told so far stands for
ARGV[5]     next_index  the index after the last outcome told
ARGV[6]     ttl_ms      of the stream; 0: no text is kept
ARGV[7]     limit       integer > 0: events kept
ARGV[8..n]  number and entry of each new event, oldest first

Returns  {"ok"}
         {"replaced", generation}  a later attach holds it: nothing was changed
         {"missing"}               closed or lapsed

Clock    none
Repeat   safe: an event whose number was kept before is passed over.
]]
local old = redis.call("HMGET", KEYS[1], "generation", "kept")
if not old[1] then
  return { "missing" }
end
if old[1] ~= ARGV[1] then
  return { "replaced", tonumber(old[1]) }
end

local kept = tonumber(old[2] or 0)
if ARGV[6] ~= "0" then
  for i = 8, #ARGV, 2 do
    if tonumber(ARGV[i]) > kept then
      kept = tonumber(ARGV[i])
      redis.call("XADD", KEYS[2], "MAXLEN", ARGV[7], kept .. "-0", "e", ARGV[i + 1])
    end
  end
  redis.call("XTRIM", KEYS[2], "MINID", ARGV[2] + 1)
  if redis.call("XLEN", KEYS[2]) == 0 then
    redis.call("DEL", KEYS[2])
  else
    redis.call("PEXPIRE", KEYS[2], ARGV[6])
  end
end
redis.call("HSET", KEYS[1], "seq", ARGV[3], "consumed", ARGV[4], "next_index", ARGV[5], "kept", kept)
return { "ok" }
