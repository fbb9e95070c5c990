#!lua flags=no-writes
--[[
declared_list: read a page of what is declared, in short.

KEYS[1]  hash  every declaration

ARGV[1]  cursor  integer: 0, or what the last page gave
ARGV[2]  limit   integer: about how many

Returns  {"ok", cursor, {node_id, uid, generation, digest}, ...}  cursor: 0 after the last page

Clock    none
Repeat   safe: it writes nothing. One that is there all the while comes at least once.
]]
local page = redis.call("HSCAN", KEYS[1], ARGV[1], "COUNT", ARGV[2])
local reply = { "ok", page[1] }
for i = 1, #page[2], 2 do
  local found = declaration_read(page[2][i + 1])
  if found then
    reply[#reply + 1] = { page[2][i], found.uid, found.generation, found.digest }
  end
end
return reply
