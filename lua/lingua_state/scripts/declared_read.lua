#!lua flags=no-writes
--[[
declared_read: read declarations with the definition of the class that each names.

KEYS[1]  hash  every declaration

ARGV[1]     root
ARGV[2..n]  ids   the nodes

Returns  {"ok", {definition, declaration}, ...}  in the order of ids; an empty list for one that is not declared

Clock    none
Repeat   safe: it writes nothing.
]]
local reply = { "ok" }
for at = 2, #ARGV do
  local text = redis.call("HGET", KEYS[1], ARGV[at])
  local found = declaration_read(text)
  reply[at] = found and { redis.call("HGET", pool_def_key(ARGV[1], found.pool_id), "definition") or "", text } or {}
end
return reply
