#!lua
--[[
readmit_job: let a job that waits have the nodes of instances again that could not be reached when it began to wait, and
give a free one of them to who is first.

KEYS[1]  hash  the job

ARGV[1]  root       Keys.root
ARGV[2]  sroot      Keys.session_root
ARGV[3]  job_id     the same as in KEYS[1]
ARGV[4]  instances  as @id, with commas

Returns  {"ok", others}  others: who has a slot of it now, rows as assigned_row makes them; this job may be among them
         {"known"}       it does not wait (any more)
         {"missing"}

Clock    Redis TIME
Repeat   safe: what was readmitted is not left out any more.
]]
local c = context(ARGV[1], ARGV[2])
local job = job_read(c, ARGV[3])
if not job then
  return { "missing" }
end
if job.status ~= "pending" or job.queue == "" or job.wait_until <= c.now then
  return { "known" }
end

local back, kept = id_set(ARGV[4]), {}
for id in string.gmatch(job.exclude, "[^,]+") do
  if not back[id] then
    kept[#kept + 1] = id
  end
end
redis.call("HSET", KEYS[1], "exclude", table.concat(kept, ","))
local node = choose(c, want_read(c, job.want), id_set(table.concat(kept, ",")))
if node then
  serve(c, node)
end
return { "ok", c.assigned }
