#!lua
--[[
node_drain: give a node nothing new, or let it have work again. What it has, it keeps.

KEYS[1]  hash  the node

ARGV[1]  root     Keys.root
ARGV[2]  sroot    Keys.session_root
ARGV[3]  node_id  the same as in KEYS[1]
ARGV[4]  drained  1, or "" to let it have work again

Returns  {"ok", others}  others: who waited and has a slot of it now, rows as assigned_row makes them
         {"missing"}

Clock    Redis TIME
Repeat   safe: a second call changes nothing.
]]
local c = context(ARGV[1], ARGV[2])
local node = node_read(c, ARGV[3])
if not node then
  return { "missing" }
end
redis.call("HSET", KEYS[1], "drained", ARGV[4])
node_settle(c, node)
if ARGV[4] == "1" then
  unpin_waiters(c, node.id)
end
serve(c, node)
return { "ok", c.assigned }
