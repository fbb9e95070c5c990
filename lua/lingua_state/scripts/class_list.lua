#!lua
--[[
class_list: list a class under pairs, a part at a time; with the last part nodes may join it.

KEYS[1]  hash  the class
KEYS[2]  zset  every known class -> ms since which nobody is of it; 0: somebody is

ARGV[1]     root        Keys.root
ARGV[2]     pool_id     the same as in KEYS[1]
ARGV[3]     definition  the canonical capability
ARGV[4]     last        1: this is the last part; 0
ARGV[5..n]  pairs       names with their scope

Returns  {"ok"}

Clock    Redis TIME
Repeat   safe: it writes the same again.
]]
redis.call("HSET", KEYS[1], "definition", ARGV[3])
redis.call("HSETNX", KEYS[1], "nodes", 0)
redis.call("PERSIST", KEYS[1])
local v = redis.call("HMGET", KEYS[1], "nodes", "declared")
if v[1] == "0" and (v[2] or "0") == "0" then
  redis.call("ZADD", KEYS[2], now_ms(), ARGV[2])
end
for at = 5, #ARGV do
  redis.call("SADD", pool_key(ARGV[1], ARGV[at]), ARGV[2])
end
-- A class that is listed wholly stays so while another node lists it again.
if redis.call("HGET", KEYS[1], "listed") ~= "1" then
  redis.call("HSET", KEYS[1], "listed", ARGV[4])
end
return { "ok" }
