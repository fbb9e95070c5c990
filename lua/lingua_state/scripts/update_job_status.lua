#!lua
--[[
update_job_status: what a node says of its job: accepted, processing, or how it ended. The end frees the slot and gives
it to who waits, in the same call.

KEYS[1]  hash  the job

ARGV[1]   root           Keys.root
ARGV[2]   sroot          Keys.session_root
ARGV[3]   job_id         the same as in KEYS[1]
ARGV[4]   attempt_id
ARGV[5]   node_id
ARGV[6]   incarnation    of the node
ARGV[7]   status         accepted, processing, completed, completed_no_text, failed or cancelled
ARGV[8]   verdict        at the end: ok, failed (counts against the node) or "" (neither)
ARGV[9]   error_code     or ""
ARGV[10]  error_message  or ""
ARGV[11]  timings        JSON, or ""

Returns  {"ok", others}             others: who got the slot, rows as assigned_row makes them
         {"repeated"}               said before
         {"missing"}
         {"stale_attempt", record}  this attempt is over
         {"wrong_node", record}     another node, or another incarnation of it, has the job
         {"already_ended", record}  ended otherwise

Clock    Redis TIME
Repeat   safe: what was said before is known by attempt and status; only one end counts.
]]
local c = context(ARGV[1], ARGV[2])
local v = redis.call("HMGET", KEYS[1], "status", "attempt_id", "node_id", "incarnation", "terms")
if not v[1] then
  return { "missing" }
end
local status, holds = v[1], v[3] == ARGV[5] and v[4] == ARGV[6]
if is_terminal(status) then
  if holds and v[2] == ARGV[4] and (status == ARGV[7] or not is_terminal(ARGV[7])) then
    return { "repeated" }
  end
  return { "already_ended", redis.call("HGETALL", KEYS[1]) }
end
if v[2] ~= ARGV[4] or not is_running(status) then
  return { "stale_attempt", redis.call("HGETALL", KEYS[1]) }
end
if not holds then
  return { "wrong_node", redis.call("HGETALL", KEYS[1]) }
end

if is_running(ARGV[7]) then
  if status == ARGV[7] or status == "processing" then
    return { "repeated" }
  end
  redis.call("HSET", KEYS[1], "status", ARGV[7], ARGV[7] == "accepted" and "accepted_ms" or "started_ms", c.now)
  job_index(c, ARGV[3], status, ARGV[7])
  if status ~= "accepted" then
    redis.call("ZADD", jobs_deadline_key(c.root), c.now + string.match(v[5], "(%d+) %d+$"), ARGV[3])
  end
  return { "ok", c.assigned }
end

if ARGV[11] ~= "" then
  redis.call("HSET", KEYS[1], "timings", ARGV[11])
end
local job = { id = ARGV[3], status = status, node = v[3], queue = "" }
local node = job_end(c, job, ARGV[7], ARGV[9], ARGV[10], ARGV[8])
if node then
  serve(c, node)
end
return { "ok", c.assigned }
