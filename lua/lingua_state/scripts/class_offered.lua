#!lua flags=no-writes
--[[
class_offered: tell whether any class is listed for a want, in a scope the asker may see, its nodes alive or not.

KEYS[1]  zset  every known class

ARGV[1]  root   Keys.root
ARGV[2]  sroot  Keys.session_root
ARGV[3]  want   what would be asked for, as prelude_choice reads it

Returns  {"ok", classes}  how many

Clock    Redis TIME, not used for a decision
Repeat   safe: it writes nothing.
]]
if redis.call("EXISTS", KEYS[1]) == 0 then
  return { "ok", 0 }
end
local c = context(ARGV[1], ARGV[2])
return { "ok", #want_classes(c, want_read(c, ARGV[3]), true) }
