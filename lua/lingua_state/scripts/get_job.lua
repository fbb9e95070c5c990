#!lua flags=no-writes
--[[
get_job: read a job.

KEYS[1]  hash  the job
KEYS[2]  zset  the deadlines

ARGV[1]  job_id  the same as in KEYS[1]

Returns  {"ok", due_ms, record}  due_ms "0": nothing is due; record: field, value, ...
         {"missing"}

Clock    none
Repeat   safe: it writes nothing.
]]
local record = redis.call("HGETALL", KEYS[1])
if #record == 0 then
  return { "missing" }
end
return { "ok", redis.call("ZSCORE", KEYS[2], ARGV[1]) or "0", record }
