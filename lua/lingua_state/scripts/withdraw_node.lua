#!lua
--[[
withdraw_node: take back what was declared of a node, and the node out if it is connected. Its jobs go back to their
owners.

KEYS[1]  hash  the node
KEYS[2]  hash  every declaration
KEYS[3]  hash  the sums over them

ARGV[1]  root
ARGV[2]  sroot
ARGV[3]  node_id  the same as in KEYS[1]
ARGV[4]  uid      of the resource that is gone
ARGV[5]  limit    integer > 0: jobs of one call

Returns  {"removed", incarnation, lost, left}  lost: attempts that were ended, the next sweep tells their owners;
                                               left: end the others with node_offline and the incarnation
         {"missing"}                           it is not declared
         {"taken", uid}                        another resource holds the node_id; nothing was changed

Clock    Redis TIME
Repeat   safe: the second call finds nothing declared.
]]
local c = context(ARGV[1], ARGV[2])
local found = declaration_read(redis.call("HGET", KEYS[2], ARGV[3]))
if not found then
  return { "missing" }
end
if found.uid ~= ARGV[4] then
  return { "taken", found.uid }
end
redis.call("HDEL", KEYS[2], ARGV[3])
declaration_count(c, found, -1)
local node, left = node_read(c, ARGV[3]), 0
if node and node.lease ~= 0 then
  -- It goes by plan: that it still works is no failure of it.
  node.load = 0
  node_out(c, node)
  left = node_release(c, node.id, "drain", tonumber(ARGV[5]))
  notices_leave(c)
end
declaration_apply(KEYS[1], nil)
if redis.call("EXISTS", KEYS[2]) == 0 then
  redis.call("DEL", KEYS[3])
end
return { "removed", node and node.incarnation or "", #c.lost, left }
