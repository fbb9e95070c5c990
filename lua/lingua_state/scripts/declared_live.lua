#!lua flags=no-writes
--[[
declared_live: read how nodes are: whether they are connected, how busy, by whom.

KEYS[1..n]  hash  the nodes

Returns  {"ok", {status, load, capacity, instance_id, heartbeat_ms, incarnation}, ...}  in the order of KEYS; an empty
         list for one that was never there, or went more than ten minutes ago

Clock    none
Repeat   safe: it writes nothing.
]]
local reply = { "ok" }
for i, key in ipairs(KEYS) do
  local v = redis.call("HMGET", key, "status", "load", "capacity", "instance_id", "heartbeat_ms", "incarnation")
  reply[i + 1] = v[1] and v or {}
end
return reply
