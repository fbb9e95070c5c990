#!lua
--[[
node_exclude: keep a node out of one pair for a while, since a model of it is not there.

KEYS[1]  hash  the node

ARGV[1]  pair    src:tgt
ARGV[2]  ttl_ms  integer > 0, from now

Returns  {"ok"}
         {"missing"}

Clock    Redis TIME
Repeat   safe: a second call only moves the end again.
]]
local now = now_ms()
local v = redis.call("HMGET", KEYS[1], "pool_id", "excluded")
if not v[1] then
  return { "missing" }
end
local kept = { ARGV[1] .. "=" .. string.format("%.0f", now + ARGV[2]) }
for name, until_ms in string.gmatch(v[2] or "", "(%S+)=(%d+)") do
  if name ~= ARGV[1] and tonumber(until_ms) > now and #kept < 64 then
    kept[#kept + 1] = name .. "=" .. until_ms
  end
end
redis.call("HSET", KEYS[1], "excluded", table.concat(kept, " "))
return { "ok" }
