#!lua
--[[
node_offline: take a node out, or only its jobs from it. Each job goes back to its owner, who decides.

KEYS[1]  hash  the node

ARGV[1]  root         Keys.root
ARGV[2]  sroot        Keys.session_root
ARGV[3]  node_id      the same as in KEYS[1]
ARGV[4]  incarnation  that is gone
ARGV[5]  reason       why, for the jobs
ARGV[6]  out          1: the node is gone; 0: only its jobs are taken
ARGV[7]  limit        integer > 0: jobs of one call

Returns  {"ok", left, rows}  rows: the jobs, as job_fence makes them; left: come again while it is not 0
         {"missing"}
         {"replaced"}        a newer incarnation holds the node; nothing was changed

Clock    Redis TIME
Repeat   safe: what was taken is not taken again.
]]
local c = context(ARGV[1], ARGV[2])
local node = node_read(c, ARGV[3])
if not node then
  return { "missing" }
end
if node.incarnation ~= ARGV[4] then
  return { "replaced" }
end
if ARGV[6] == "1" and redis.call("HGET", KEYS[1], "status") ~= "offline" then
  node_out(c, node)
end
local left = node_release(c, node.id, ARGV[5], tonumber(ARGV[7]))
return { "ok", left, c.lost }
