#!lua
--[[
session_resume: let a session go on over a new connection, for whoever holds its resume token; the token is used up.

KEYS[1]  hash    the session
KEYS[2]  zset    the sessions by the ms at which their record lapses
KEYS[3]  stream  its events

ARGV[1]  session_id
ARGV[2]  instance_id  the instance that holds the new connection
ARGV[3]  tenant
ARGV[4]  subject      who speaks, as the credential says
ARGV[5]  token        SHA-256 of the token that is shown
ARGV[6]  next_token   SHA-256 of the token for the next time
ARGV[7]  ttl_ms       integer > 0: how long the record outlives the last sign of life
ARGV[8]  op           random, one per resume: the same one again gets the same answer
ARGV[9]  last_seq     the number of the last event the client has

Returns  {"ok", generation, instance_before, seq, consumed, next_index, events}
           events: {id, {field, entry}} of each event kept after last_seq, oldest first
         {"replaced", generation}  this resume was done, and a later attach holds the session since
         {"missing"}               closed or lapsed
         {"foreign"}               the session is another tenant's or another subject's
         {"refused"}               the token is not the session's, or was used before; nothing was changed

Clock    Redis TIME
Repeat   safe: known by op, also when one other attach came between.
]]
local old = redis.call("HMGET", KEYS[1], "generation", "op", "op_before", "tenant", "subject", "token", "instance_id",
  "instance_before", "seq", "consumed", "next_index")
local generation = tonumber(old[1])
if not generation then
  return { "missing" }
end
if old[4] ~= ARGV[3] or (old[5] or "") ~= ARGV[4] then
  return { "foreign" }
end
if old[3] == ARGV[8] then
  return { "replaced", generation }
end

local before = old[8]
if old[2] ~= ARGV[8] then
  if not old[6] or old[6] == "" or old[6] ~= ARGV[5] then
    return { "refused" }
  end
  local now = now_ms()
  before, generation = old[7], generation + 1
  redis.call("HSET", KEYS[1], "instance_id", ARGV[2], "instance_before", before, "generation", generation, "touched_ms",
    now, "op", ARGV[8], "op_before", old[2] or "", "token", ARGV[6])
  redis.call("PEXPIREAT", KEYS[1], now + ARGV[7])
  redis.call("ZADD", KEYS[2], now + ARGV[7], ARGV[1])
end
local events = redis.call("XRANGE", KEYS[3], "(" .. ARGV[9], "+")
return { "ok", generation, before or "", old[9] or "0", old[10] or "0", old[11] or "0", events }
