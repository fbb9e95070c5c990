#!lua flags=no-writes
--[[
instance_list: read every scheduler process that lives.

KEYS[1]  zset  the instances by the ms at which their record lapses

ARGV[1]  root  Keys.root

Returns  {"ok", {id, {field, value, ...}}, ...}

Clock    Redis TIME
Repeat   safe: it writes nothing.
]]
local reply = { "ok" }
for _, id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[1], "(" .. now_ms(), "+inf")) do
  reply[#reply + 1] = { id, redis.call("HGETALL", instance_key(ARGV[1], id)) }
end
return reply
