#!lua
--[[
create_job: write a job that has no node and waits for none; failover_job from attempt 0 places it.

KEYS[1]  hash  the job

ARGV[1]   root          Keys.root
ARGV[2]   sroot         Keys.session_root
ARGV[3]   job_id        the same as in KEYS[1]
ARGV[4]   priority      0 is served first, 9 last
ARGV[5]   wait_ms       after this time the sweep ends it
ARGV[6]   handover_ms
ARGV[7]   run_ms
ARGV[8]   max_attempts
ARGV[9]   exclude       node ids that must not have it, with commas, or ""
ARGV[10]  ttl_ms        of the record
ARGV[11]  request       what is kept of the request, JSON

Returns  {"ok"}
         {"repeated"}  there is a job of this id

Clock    Redis TIME
Repeat   safe: known by the job id.
]]
local c = context(ARGV[1], ARGV[2])
if redis.call("EXISTS", KEYS[1]) == 1 then
  return { "repeated" }
end
local job = {
  id = ARGV[3], priority = ARGV[4], created = c.now, wait_until = c.now + ARGV[5], turn_until = c.now,
  handover = ARGV[6], run = ARGV[7], max_attempts = ARGV[8], exclude = ARGV[9], attempt = 0, queue = "",
  lost = "created", status = "pending",
}
job_write(c, KEYS[1], job, ARGV[11], ARGV[10])
redis.call("ZADD", jobs_deadline_key(c.root), job.wait_until, job.id)
return { "ok" }
