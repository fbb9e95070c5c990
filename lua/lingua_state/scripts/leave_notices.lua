#!lua
--[[
leave_notices: leave word of what was decided about jobs for an instance that can't be reached; it takes them at its next
sweep.

KEYS[1]  list  the notices for that instance

ARGV[1]     ttl_ms  integer > 0: later nobody asks
ARGV[2]     limit   how many may lie there; the oldest go first
ARGV[3..n]  what is left, as instances write it for each other

Returns  {"ok", depth}

Clock    none
Repeat   safe: a notice that lies there twice names its attempt, and the second changes nothing.
]]
for i = 3, #ARGV do
  redis.call("RPUSH", KEYS[1], ARGV[i])
end
redis.call("LTRIM", KEYS[1], -ARGV[2], -1)
redis.call("PEXPIRE", KEYS[1], ARGV[1])
return { "ok", redis.call("LLEN", KEYS[1]) }
