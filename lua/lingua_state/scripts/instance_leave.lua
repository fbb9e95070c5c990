#!lua
--[[
instance_leave: say that a scheduler process is gone.

KEYS[1]  hash  the instance
KEYS[2]  zset  the instances by the ms at which their record lapses

ARGV[1]  instance_id

Returns  {"ok"}

Clock    none
Repeat   safe: the second call finds nothing to remove.
]]
redis.call("DEL", KEYS[1])
redis.call("ZREM", KEYS[2], ARGV[1])
return { "ok" }
