--[[
prelude_declared: the shared functions about declarations: what Kubernetes says of a node, kept in nodes:declared.

A declaration is one text, as lingua_state.declared writes it: digest, pool_id, uid, generation, capacity, weight,
scheduling, and for Python alone a JSON.
]]

local function declaration_read(text)
  local digest, pool_id, uid, generation, capacity, weight, scheduling = string.match(text or "",
    "^(%x+) (%x+) (%S+) (%d+) (%d+) (%d+) (%a+) ")
  return digest and { digest = digest, pool_id = pool_id, uid = uid, generation = tonumber(generation),
    capacity = capacity, weight = weight, scheduling = scheduling } or nil
end

-- Adds a declaration to the sums over all of them, or takes it out; three of 44 bits, so that 500 000 fit.
local function declaration_count(c, found, change)
  class_count(c, found.pool_id, "declared", change)
  for i, name in ipairs({ "a", "b", "c" }) do
    local part = tonumber(string.sub(found.digest, i * 11 - 10, i * 11), 16)
    redis.call("HINCRBY", nodes_declared_sums_key(c.root), name, part * change)
  end
end

-- Puts what a declaration says of a node's share into the node; nil: the node is not declared any more.
local function declaration_apply(key, found)
  if found then
    redis.call("HSET", key, "uid", found.uid, "generation", found.generation, "weight", found.weight, "scheduling",
      found.scheduling)
  else
    redis.call("HDEL", key, "uid", "generation", "weight", "scheduling", "offered")
  end
end

-- Leaves what the call decided about jobs to the next sweep: whoever declares can't reach the jobs' owners.
local function notices_leave(c)
  local key = notices_key(c.root)
  for kind, rows in pairs({ assigned = c.assigned, lost = c.lost }) do
    for _, row in ipairs(rows) do
      redis.call("RPUSH", key, cjson.encode({ kind, row }))
    end
  end
  redis.call("PEXPIRE", key, 60000)
end
