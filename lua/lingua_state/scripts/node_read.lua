#!lua flags=no-writes
--[[
node_read: read nodes with the definition of their class.

KEYS[1..n]  hash  the nodes

ARGV[1]  root  Keys.root

Returns  {"ok", {definition, {field, value, ...}}, ...}  in the order of KEYS; an empty list for one that is not known

Clock    none
Repeat   safe: it writes nothing.
]]
local reply = { "ok" }
for i, key in ipairs(KEYS) do
  local record = redis.call("HGETALL", key)
  local pool_id = redis.call("HGET", key, "pool_id")
  reply[i + 1] = pool_id and { redis.call("HGET", pool_def_key(ARGV[1], pool_id), "definition") or "", record } or {}
end
return reply
