#!lua
--[[
session_attach: make the caller the session's only live connection, in a new generation. The newest wins.

KEYS[1]  hash  the session
KEYS[2]  zset  the sessions by the ms at which their record lapses

ARGV[1]   session_id
ARGV[2]   instance_id  the instance that holds the connection
ARGV[3]   tenant
ARGV[4]   source       language heard, or auto
ARGV[5]   target       language spoken
ARGV[6]   mode
ARGV[7]   trace_id
ARGV[8]   ttl_ms       integer > 0: how long the record outlives the last sign of life
ARGV[9]   op           random, one per attach: the same one again gets the same answer
ARGV[10]  after        the generation the caller held before the store lost its past, else 0
ARGV[11]  subject      who speaks, as the credential says: only the same may resume it
ARGV[12]  token        SHA-256 of the resume token, or "": it can't be resumed

Returns  {"ok", generation}
         {"replaced", generation}  a later attach holds the session: after this one was done, or since the caller's
         {"foreign"}               the session belongs to another tenant

Clock    Redis TIME
Repeat   safe: known by op, also when one other attach came between.
]]
local old = redis.call("HMGET", KEYS[1], "generation", "op", "op_before", "tenant")
local generation = tonumber(old[1] or 0)
if old[4] and old[4] ~= ARGV[3] then
  return { "foreign" }
end
if old[3] == ARGV[9] then
  return { "replaced", generation }
end
if old[2] == ARGV[9] then
  return { "ok", generation }
end

if ARGV[10] ~= "0" and generation > tonumber(ARGV[10]) then
  return { "replaced", generation }
end

local now = now_ms()
local expires_ms = now + ARGV[8]
generation = math.max(generation, tonumber(ARGV[10])) + 1
if not old[1] then
  redis.call("HSET", KEYS[1], "created_ms", now, "utterances", 0)
end
redis.call("HSET", KEYS[1], "instance_id", ARGV[2], "generation", generation, "tenant", ARGV[3], "source", ARGV[4],
  "target", ARGV[5], "mode", ARGV[6], "trace_id", ARGV[7], "touched_ms", now, "op", ARGV[9], "op_before", old[2] or "",
  "subject", ARGV[11], "token", ARGV[12])
redis.call("PEXPIREAT", KEYS[1], expires_ms)
redis.call("ZADD", KEYS[2], expires_ms, ARGV[1])
-- Sessions whose instance died leave the index here, a few at each attach.
local lapsed = redis.call("ZRANGEBYSCORE", KEYS[2], "-inf", now, "LIMIT", 0, 10)
if #lapsed > 0 then
  redis.call("ZREM", KEYS[2], unpack(lapsed))
end
return { "ok", generation }
