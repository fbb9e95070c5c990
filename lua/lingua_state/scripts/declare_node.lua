#!lua
--[[
declare_node: say what a node is to be, as its resource in Kubernetes does, whether the node is there or not; a node that
is connected follows at once. Its class must be listed (list_class).

KEYS[1]  hash  the node
KEYS[2]  hash  the class that the declaration names
KEYS[3]  hash  every declaration
KEYS[4]  hash  the class that the node will be in, if it is connected; else the same as in KEYS[2]

ARGV[1]   root
ARGV[2]   sroot
ARGV[3]   node_id      the same as in KEYS[1]
ARGV[4]   declaration  as prelude_declared reads it
ARGV[5]   replaces     uid of a resource that is known to be gone, or ""
ARGV[6]   incarnation  of the connected node as the caller saw it; "": it saw none
ARGV[7]   was_pool_id  the class that the caller saw the node in
ARGV[8]   offered      what the caller saw the process say it can do; "" where the node was not declared
ARGV[9]   pool_id      the same as in KEYS[4]

Returns  {"applied", count}  count: who waited and has a slot of it now; the next sweep tells their owners
         {"unchanged"}       the very same was declared before; nothing was written
         {"stale_generation", generation}  a later generation of the same uid was applied
         {"taken", uid}      another resource holds the node_id
         {"unlisted"}        list the two classes, then come again
         {"moved"}           the connected node is not as the caller saw it: read it again

Clock    Redis TIME
Repeat   safe: the second call finds the same declared.
]]
local c = context(ARGV[1], ARGV[2])
local new = declaration_read(ARGV[4])
local old = declaration_read(redis.call("HGET", KEYS[3], ARGV[3]))
if old and old.digest == new.digest then
  return { "unchanged" }
end
if old and old.uid ~= new.uid and old.uid ~= ARGV[5] then
  return { "taken", old.uid }
end
if old and old.uid == new.uid and old.generation > new.generation then
  return { "stale_generation", old.generation }
end
if redis.call("HGET", KEYS[2], "listed") ~= "1" or redis.call("HGET", KEYS[4], "listed") ~= "1" then
  return { "unlisted" }
end
local v = redis.call("HMGET", KEYS[1], "status", "incarnation", "pool_id", "offered")
local connected = v[1] and v[1] ~= "offline"
if connected and (v[2] ~= ARGV[6] or v[3] ~= ARGV[7] or (v[4] or "") ~= ARGV[8]) then
  return { "moved" }
end

redis.call("HSET", KEYS[3], ARGV[3], ARGV[4])
declaration_count(c, new, 1)
if old then
  declaration_count(c, old, -1)
end
if not connected then
  return { "applied", 0 }
end
if not v[4] then
  -- Declared only now: what it offers is what its class says, and its status is not in the sums yet.
  redis.call("HSET", KEYS[1], "offered", redis.call("HGET", pool_def_key(c.root, v[3]), "definition") or "", "status", "")
end
declaration_apply(KEYS[1], new)
redis.call("HSET", KEYS[1], "capacity", new.capacity, "pool_id", ARGV[9])
if v[3] ~= ARGV[9] then
  class_leave(c, v[3], ARGV[3])
  class_count(c, ARGV[9], "nodes", 1)
end
local node = node_read(c, ARGV[3])
node_settle(c, node)
if new.scheduling ~= "active" then
  unpin_waiters(c, node.id)
end
serve(c, node)
notices_leave(c)
return { "applied", #c.assigned }
