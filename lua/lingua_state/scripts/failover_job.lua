#!lua
--[[
failover_job: give a job whose attempt failed its next one elsewhere; or let it wait; or end it when none is left.

An attempt that still holds its slot is ended first. Nodes that were tried are avoided while there is another one; the
node that was lost is left out.

KEYS[1]  hash  the job

ARGV[1]  root        Keys.root
ARGV[2]  sroot       Keys.session_root
ARGV[3]  job_id      the same as in KEYS[1]
ARGV[4]  attempt_id  the attempt that failed; 0: a job of create_job
ARGV[5]  reason      why
ARGV[6]  verdict     failed: counts against the node, if its slot was not freed before; "": does not
ARGV[7]  exclude     more nodes, and instances as @id, that must not have it, with commas, or ""
ARGV[8]  wait_ms     how long it may wait for a node; 0: not at all

Returns  {"assigned", row, others}                     row and others as assigned_row makes them
         {"waiting", job_id, until_ms, ahead, others}
         {"ended", session_id, owner, code, others}    no attempt left, or no node and wait_ms 0
         {"known", job_id, due_ms, record}             it went further before, or ended
         {"missing"}
         {"stale_attempt", record}                     there was no such attempt yet

Clock    Redis TIME
Repeat   safe: known by the attempt; the first answer comes again while it holds.
]]
local c = context(ARGV[1], ARGV[2])
local job = job_read(c, ARGV[3])
if not job then
  return { "missing" }
end
local attempt = tonumber(ARGV[4])
if job.attempt < attempt then
  return { "stale_attempt", redis.call("HGETALL", KEYS[1]) }
end
if job.attempt > attempt or job.queue ~= "" or is_terminal(job.status) then
  return queues().answer(c, job.id, attempt + 1)
end

local v = redis.call("HMGET", KEYS[1], "tried", "lost_node")
local from = job.node ~= "" and job.node or v[2] or ""
local tried = (v[1] or "") .. (from ~= "" and from .. "," or "")
local freed = is_running(job.status) and job_fence(c, job, ARGV[5], ARGV[6], 0) or nil
job.status, job.node, job.incarnation, job.lost = "pending", "", "", ARGV[5]
job.exclude = from .. "," .. ARGV[7]
job.wait_until, job.turn_until = c.now + ARGV[8], c.now
redis.call("HSET", KEYS[1], "tried", tried, "exclude", job.exclude, "terms", terms_text(job))

local exhausted = job.attempt >= job.max_attempts
local w = want_read(c, job.want)
local node
if not exhausted then
  node = choose(c, w, id_set(job.exclude .. "," .. tried)) or choose(c, w, id_set(job.exclude))
end
local reply
if node then
  reply = { "assigned", queues().assign(c, session_read(c, job), job, node), c.assigned }
elseif exhausted or ARGV[8] == "0" then
  local code = exhausted and lost_code(ARGV[5]) or "NO_AVAILABLE_NODE"
  job_end(c, job, "failed", code, "", "")
  reply = { "ended", job.session, job.owner, code, c.assigned }
else
  queues().enter(c, job, "*", job.wait_until)
  redis.call("HSET", KEYS[1], "queue", "*", "lost", "")
  reply = queues().answer(c, job.id, attempt + 1)
end
if freed then
  serve(c, freed)
end
return reply
