#!lua flags=no-writes
--[[
select_node: tell which node a job would get now, without taking anything.

KEYS[1]  hash  the session that asks; it may be one that is not there

ARGV[1]  root        Keys.root
ARGV[2]  sroot       Keys.session_root
ARGV[3]  session_id  the same as in KEYS[1]
ARGV[4]  want        what is asked for, as prelude_choice reads it
ARGV[5]  turn_id     or ""
ARGV[6]  exclude     node ids that must not have it, with commas, or ""

Returns  {"ok", node_id, affinity}  affinity: turn, session or none
         {"wait", node_id}          the turn's node is full: the job would wait for it first
         {"no_node"}

Clock    Redis TIME
Repeat   safe: it writes nothing.
]]
local c = context(ARGV[1], ARGV[2])
local w = want_read(c, ARGV[4])
local exclude = id_set(ARGV[6])
local session = session_read(c, { session = ARGV[3], turn = ARGV[5] })
local held = session.turn_node ~= ""
local preferred = held and session.turn_node or session.node
local unfit = preferred == "" and "none" or node_unfit(c, w, node_read(c, preferred), exclude)
if not unfit then
  return { "ok", preferred, held and "turn" or "session" }
end
if unfit == "full" and held then
  return { "wait", preferred }
end
local node = choose(c, w, exclude)
if not node then
  return { "no_node" }
end
return { "ok", node.id, "none" }
