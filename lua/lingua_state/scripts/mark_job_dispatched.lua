#!lua
--[[
mark_job_dispatched: note that a job is on its node's socket, and by when the node must say a word.

KEYS[1]  hash  the job

ARGV[1]  root        Keys.root
ARGV[2]  sroot       Keys.session_root
ARGV[3]  job_id      the same as in KEYS[1]
ARGV[4]  attempt_id
ARGV[5]  node_id
ARGV[6]  offer_ms    by when the node must confirm it; 0: it does not confirm, the time to run it counts

Returns  {"ok"}
         {"repeated"}               it is this far, or further
         {"missing"}
         {"stale_attempt", record}  this attempt is over
         {"wrong_node", record}     another node has it
         {"already_ended", record}

Clock    Redis TIME
Repeat   safe: a second call changes nothing.
]]
local c = context(ARGV[1], ARGV[2])
local v = redis.call("HMGET", KEYS[1], "status", "attempt_id", "node_id", "terms")
if not v[1] then
  return { "missing" }
end
if is_terminal(v[1]) then
  return { "already_ended", redis.call("HGETALL", KEYS[1]) }
end
if v[2] ~= ARGV[4] or not is_running(v[1]) then
  return { "stale_attempt", redis.call("HGETALL", KEYS[1]) }
end
if v[3] ~= ARGV[5] then
  return { "wrong_node", redis.call("HGETALL", KEYS[1]) }
end
if v[1] ~= "assigned" then
  return { "repeated" }
end
redis.call("HSET", KEYS[1], "status", "dispatched", "dispatched_ms", c.now)
job_index(c, ARGV[3], "assigned", "dispatched")
local offer_ms = ARGV[6] == "0" and string.match(v[4], "(%d+) %d+$") or ARGV[6]
redis.call("ZADD", jobs_deadline_key(c.root), c.now + offer_ms, ARGV[3])
return { "ok" }
