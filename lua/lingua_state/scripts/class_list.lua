#!lua
--[[
class_list: list a class under pairs, a part at a time; with the last part nodes may join it.

KEYS[1]  hash    the class
KEYS[2]  zset    every known class -> ms since which nobody is of it; 0: somebody is
KEYS[3]  string  how many new classes the node that wants it listed lately

ARGV[1]     root        Keys.root
ARGV[2]     pool_id     the same as in KEYS[1]
ARGV[3]     definition  the canonical capability
ARGV[4]     last        1: this is the last part; 0
ARGV[5]     total       classes that may be known at once; 0: any number
ARGV[6]     per_node    new classes of one node within the window; 0: any number
ARGV[7]     window_ms   from the first one
ARGV[8..n]  names       of its pairs, and those under which its nodes find who waits (prelude_queues)

Returns  {"ok"}
         {"classes_full", known}      the class is new, and as many as may be are known; nothing was written
         {"classes_limited", left_ms}  it is new, and its node had too many; nothing was written

Clock    Redis TIME
Repeat   safe: it writes the same again, and a class that is known by then is not counted again.
]]
if not redis.call("ZSCORE", KEYS[2], ARGV[2]) then
  local known = redis.call("ZCARD", KEYS[2])
  if ARGV[5] ~= "0" and known >= tonumber(ARGV[5]) then
    return { "classes_full", known }
  end
  if ARGV[6] ~= "0" then
    if tonumber(redis.call("GET", KEYS[3]) or "0") >= tonumber(ARGV[6]) then
      return { "classes_limited", redis.call("PTTL", KEYS[3]) }
    end
    if redis.call("INCR", KEYS[3]) == 1 then
      redis.call("PEXPIRE", KEYS[3], ARGV[7])
    end
  end
end
redis.call("HSET", KEYS[1], "definition", ARGV[3])
redis.call("HSETNX", KEYS[1], "nodes", 0)
redis.call("PERSIST", KEYS[1])
local v = redis.call("HMGET", KEYS[1], "nodes", "declared")
if v[1] == "0" and (v[2] or "0") == "0" then
  redis.call("ZADD", KEYS[2], now_ms(), ARGV[2])
end
for at = 8, #ARGV do
  redis.call("SADD", pool_names_key(ARGV[1], ARGV[2]), ARGV[at])
  if not string.find(ARGV[at], "[<%[]") then
    redis.call("SADD", pool_key(ARGV[1], ARGV[at]), ARGV[2])
  end
end
-- A class that is listed wholly stays so while another node lists it again.
if redis.call("HGET", KEYS[1], "listed") ~= "1" then
  redis.call("HSET", KEYS[1], "listed", ARGV[4])
end
return { "ok" }
