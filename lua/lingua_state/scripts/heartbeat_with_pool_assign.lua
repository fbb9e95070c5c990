#!lua
--[[
heartbeat_with_pool_assign: renew a node's lease, note how it is, and move it to another class when its languages
changed. It never brings back a node that was taken out.

KEYS[1]  hash  the node
KEYS[2]  zset  the leases
KEYS[3]  hash  the class it belongs to from now on; of its present one where the languages did not change
KEYS[4]  hash  every declaration

ARGV[1]  root         Keys.root
ARGV[2]  sroot        Keys.session_root
ARGV[3]  node_id      the same as in KEYS[1]
ARGV[4]  incarnation
ARGV[5]  lease_ms     integer > 0
ARGV[6]  reported     ready, registering, overloaded or draining
ARGV[7]  pool_id      the class, or "" when the languages did not change
ARGV[8]  resources    as the node reports them, for people
ARGV[9]  digest       of the declaration that the class was bounded by; "": it is not declared. Read with a class only
ARGV[10] offered      what a declared node itself says it can do, or ""; read with a class only

Returns  {"ok", status, others}  others: who waited and has a slot of it now, rows as assigned_row makes them
         {"unknown"}             never seen, or taken out: register again
         {"replaced"}            a newer incarnation holds the node
         {"unlisted"}            list the class, then come again
         {"redeclared"}          the declaration is another one by now: read it, then come again

Clock    Redis TIME
Repeat   safe: a second beat only moves the lease again.
]]
local c = context(ARGV[1], ARGV[2])
local node = node_read(c, ARGV[3])
if not node or node.lease == 0 then
  return { "unknown" }
end
if node.incarnation ~= ARGV[4] then
  return { "replaced" }
end
local found = ARGV[7] ~= "" and declaration_read(redis.call("HGET", KEYS[4], node.id)) or nil
if ARGV[7] ~= "" and (found and found.digest or "") ~= ARGV[9] then
  return { "redeclared" }
end
local moves = ARGV[7] ~= "" and ARGV[7] ~= node.pool_id
if moves and redis.call("HGET", KEYS[3], "listed") ~= "1" then
  return { "unlisted" }
end

node.lease = c.now + ARGV[5]
redis.call("ZADD", KEYS[2], "XX", node.lease, node.id)
redis.call("HSET", KEYS[1], "heartbeat_ms", c.now, "lease_expires_ms", node.lease, "reported", ARGV[6], "resources", ARGV[8])
if found then
  redis.call("HSET", KEYS[1], "offered", ARGV[10])
end
if moves then
  class_leave(c, node.pool_id, node.id)
  class_count(c, ARGV[7], "nodes", 1)
  node.pool_id = ARGV[7]
  redis.call("HSET", KEYS[1], "pool_id", node.pool_id)
end
node_settle(c, node)
serve(c, node)
return { "ok", node.status, c.assigned }
