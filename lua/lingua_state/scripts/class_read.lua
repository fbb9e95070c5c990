#!lua flags=no-writes
--[[
class_read: read classes, and how much room their nodes have.

KEYS[1]  zset  every known class

ARGV[1]  root    Keys.root
ARGV[2]  from    integer: the rank of the first one
ARGV[3]  limit   integer: how many
ARGV[4]  sample  integer: of a class with more nodes that may be chosen, as many are looked at and the sum is estimated

Returns  {"ok", {pool_id, definition, nodes, choosable, capacity, free, declared}, ...}

Clock    none
Repeat   safe: it writes nothing.
]]
local sample = tonumber(ARGV[4])
local reply = { "ok" }
for _, pool_id in ipairs(redis.call("ZRANGE", KEYS[1], ARGV[2], ARGV[2] + ARGV[3] - 1)) do
  local v = redis.call("HMGET", pool_def_key(ARGV[1], pool_id), "definition", "nodes", "declared")
  local key = pool_nodes_key(ARGV[1], pool_id)
  local choosable = redis.call("ZCARD", key)
  local ids = choosable > sample and redis.call("ZRANDMEMBER", key, sample) or redis.call("ZRANGE", key, 0, -1)
  local capacity, free = 0, 0
  for _, id in ipairs(ids) do
    local n = redis.call("HMGET", node_key(ARGV[1], id), "capacity", "load")
    capacity = capacity + (n[1] or 0)
    free = free + math.max(0, (n[1] or 0) - (n[2] or 0))
  end
  local scale = choosable / math.max(1, #ids)
  if v[1] then
    reply[#reply + 1] = { pool_id, v[1], v[2], choosable, math.floor(capacity * scale), math.floor(free * scale),
      v[3] or "0" }
  end
end
return reply
