#!lua
--[[
pairing_try: tell whether a pairing code opens anything, and count who guesses.

Whoever guessed wrong too often is told nothing for a while, not even that a code is right.

KEYS[1]     set     the classes that the code opens
KEYS[2..n]  string  how many wrong codes each of those tried who ask

ARGV[1]  tries      wrong codes of one of them within the window
ARGV[2]  window_ms  from the first wrong one

Returns  {"ok"}
         {"wrong"}             counted
         {"limited", left_ms}  not looked at

Clock    none
Repeat   safe: a wrong code is counted once more.
]]
for i = 2, #KEYS do
  if tonumber(redis.call("GET", KEYS[i]) or "0") >= tonumber(ARGV[1]) then
    return { "limited", redis.call("PTTL", KEYS[i]) }
  end
end
if redis.call("EXISTS", KEYS[1]) == 1 then
  return { "ok" }
end
for i = 2, #KEYS do
  if redis.call("INCR", KEYS[i]) == 1 then
    redis.call("PEXPIRE", KEYS[i], ARGV[2])
  end
end
return { "wrong" }
