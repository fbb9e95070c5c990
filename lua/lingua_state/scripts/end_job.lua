#!lua
--[[
end_job: bring a job to its end by its owner, wherever it is: waiting, at a node, or lost.

KEYS[1]  hash  the job

ARGV[1]  root           Keys.root
ARGV[2]  sroot          Keys.session_root
ARGV[3]  job_id         the same as in KEYS[1]
ARGV[4]  status         failed or cancelled
ARGV[5]  error_code     or ""
ARGV[6]  error_message  or ""

Returns  {"ok", others, record}     record as it was before: its node_id is who must be told; others: who got the slot
         {"repeated", record}       it has this end
         {"missing"}
         {"already_ended", record}  it ended otherwise

Clock    Redis TIME
Repeat   safe: only one end counts.
]]
local c = context(ARGV[1], ARGV[2])
local job = job_read(c, ARGV[3])
if not job then
  return { "missing" }
end
local record = redis.call("HGETALL", KEYS[1])
if is_terminal(job.status) then
  return { job.status == ARGV[4] and "repeated" or "already_ended", record }
end
local node = job_end(c, job, ARGV[4], ARGV[5], ARGV[6], "")
if node then
  serve(c, node)
end
return { "ok", c.assigned, record }
