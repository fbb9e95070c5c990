#!lua
--[[
epoch: name this history of the store, once. If the name changes, the store lost its past.

KEYS[1]  string  the epoch

ARGV[1]  fresh  a random name, taken if the store has none

Returns  {"ok", epoch}  the name that holds

Clock    none
Repeat   safe: the first name stays.
]]
local epoch = redis.call("GET", KEYS[1])
if not epoch then
  epoch = ARGV[1]
  redis.call("SET", KEYS[1], epoch)
end
return { "ok", epoch }
