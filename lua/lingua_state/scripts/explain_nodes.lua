#!lua flags=no-writes
--[[
explain_nodes: say of nodes whether they would be chosen for a want, and why not.

KEYS[1..n]  hash  the nodes

ARGV[1]     root     Keys.root
ARGV[2]     sroot    Keys.session_root
ARGV[3]     want     what is asked for, as prelude_choice reads it
ARGV[4]     exclude  node ids that must not have it, with commas, or ""
ARGV[5..n]  ids      the nodes' ids, in the order of KEYS

Returns  {"ok", {node_id, pool_id, reason, score, definition}, ...}  reason: eligible, probing, full, excluded,
         lease_stale, pair_excluded, quarantined, registering, overloaded, draining, offline, not_offered or missing

Clock    Redis TIME
Repeat   safe: it writes nothing.
]]
local c = context(ARGV[1], ARGV[2])
local w = want_read(c, ARGV[3])
local exclude = id_set(ARGV[4])
local served = {}

local function reason_for(key, node)
  if not node then
    return "missing"
  end
  local v = redis.call("HMGET", key, "reported", "drained", "quarantined_until_ms", "scheduling")
  if served[node.pool_id] == nil then
    served[node.pool_id] = want_served_by(c, w, node.pool_id)
  end
  if not served[node.pool_id] then
    return "not_offered"
  end
  if v[1] ~= "ready" then
    return v[1]
  end
  if v[2] == "1" or (v[4] and v[4] ~= "active") then
    return "draining"
  end
  if node.level > 0 and tonumber(v[3]) > c.now then
    return "quarantined"
  end
  return node_refusal(c, w, node, exclude) or (node.level > 0 and "probing" or "eligible")
end

local reply = { "ok" }
for i, key in ipairs(KEYS) do
  local node = node_read(c, ARGV[i + 4])
  local definition = node and redis.call("HGET", pool_def_key(c.root, node.pool_id), "definition") or ""
  reply[i + 1] = { ARGV[i + 4], node and node.pool_id or "", reason_for(key, node), node and node_score(c, node) or 0,
    definition }
end
return reply
