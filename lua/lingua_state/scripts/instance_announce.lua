#!lua
--[[
instance_announce: say that a scheduler process lives, where its peers reach it and how full it is.

KEYS[1]  hash  the instance
KEYS[2]  zset  the instances by the ms at which their record lapses

ARGV[1]  instance_id
ARGV[2]  address   where its peers reach it
ARGV[3]  version
ARGV[4]  sessions  integer: live sessions
ARGV[5]  nodes     integer: connected nodes
ARGV[6]  draining  1 or 0
ARGV[7]  ttl_ms    integer > 0, from now

Returns  {"ok", expires_ms}

Clock    Redis TIME
Repeat   safe: a second call only moves the end again.
]]
local now = now_ms()
local expires_ms = now + ARGV[7]
redis.call("HSETNX", KEYS[1], "started_ms", now)
redis.call("HSET", KEYS[1], "address", ARGV[2], "version", ARGV[3], "sessions", ARGV[4], "nodes", ARGV[5],
  "draining", ARGV[6], "expires_ms", expires_ms)
redis.call("PEXPIREAT", KEYS[1], expires_ms)
redis.call("ZADD", KEYS[2], expires_ms, ARGV[1])
redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", now)
-- What lapses much later than this one was announced by a clock that has jumped back since.
for _, id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[2], now + 10 * ARGV[7], "+inf", "LIMIT", 0, 10)) do
  redis.call("ZADD", KEYS[2], expires_ms, id)
end
return { "ok", expires_ms }
