#!lua
--[[
class_retire: take a class that has had no node and no declaration for long out of its pairs, a part at a time.

A node that comes meanwhile finds it unlisted and lists it anew, which stops this.

KEYS[1]  hash  the class
KEYS[2]  zset  every known class -> ms since which nobody is of it; 0: somebody is

ARGV[1]     root     Keys.root
ARGV[2]     pool_id  the same as in KEYS[1]
ARGV[3]     idle_ms  how long it must have been so
ARGV[4]     part     first, next or last
ARGV[5..n]  names    as they were listed

Returns  {"ok"}
         {"in_use"}  it has nodes or is declared, or was lately, or is being listed: nothing was changed

Clock    Redis TIME
Repeat   safe: it takes out the same again.
]]
local since = redis.call("ZSCORE", KEYS[2], ARGV[2])
local v = redis.call("HMGET", KEYS[1], "nodes", "listed", "declared")
if not since or v[1] ~= "0" or (v[3] or "0") ~= "0" or tonumber(since) + ARGV[3] > now_ms() then
  return { "in_use" }
end
if ARGV[4] ~= "first" and v[2] ~= "retiring" then
  return { "in_use" }
end
redis.call("HSET", KEYS[1], "listed", "retiring")
for at = 5, #ARGV do
  redis.call("SREM", pool_names_key(ARGV[1], ARGV[2]), ARGV[at])
  redis.call("SREM", pool_key(ARGV[1], ARGV[at]), ARGV[2])
end
if ARGV[4] == "last" then
  redis.call("HSET", KEYS[1], "listed", "0")
  redis.call("ZREM", KEYS[2], ARGV[2])
  redis.call("PEXPIRE", KEYS[1], 3600000)
end
return { "ok" }
