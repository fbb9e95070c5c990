--[[
prelude_nodes: the shared functions about nodes and classes: slots, scores, who may be chosen, quarantine.

`c` is what every function gets: root and sroot, now (ms), dice (changes with each call), and the lists that a call
fills: assigned, lost. A node is a table as node_read makes it.

Each function that a script mentions costs every call of it 0.15 us, so what a dispatch seldom needs is nested in what
needs it, or in `queues` (prelude_queues).
]]

local function context(root, sroot)
  local time = redis.call("TIME")
  local micros = tonumber(time[2])
  return { root = root, sroot = sroot, now = time[1] * 1000 + math.floor(micros / 1000), dice = micros, assigned = {},
    lost = {} }
end

-- Fields that most nodes have no need of are absent, since each one that is there costs time: quarantine_level and
-- quarantined_until_ms, recent (the last five outcomes, if one was a failure), warm_until_ms, excluded; and what only
-- declared nodes have: uid, generation, weight, scheduling, offered (what the process itself says it can do).
local function node_read(c, node_id)
  local v = redis.call("HMGET", node_key(c.root, node_id), "load", "capacity", "pool_id", "lease_expires_ms",
    "quarantine_level", "warm_until_ms", "excluded", "incarnation", "instance_id", "acks",
    "weight")
  if not v[3] then
    return nil
  end
  local level, capacity = tonumber(v[5] or 0), tonumber(v[2])
  return {
    -- A node that must prove itself gets one job at a time.
    id = node_id, load = tonumber(v[1]), slots = level > 0 and 1 or capacity, capacity = capacity,
    pool_id = v[3], lease = tonumber(v[4]), level = level, warm_until = tonumber(v[6] or 0), excluded = v[7] or "",
    incarnation = v[8], instance = v[9], acks = v[10], weight = tonumber(v[11] or 100),
  }
end

-- A cold node looks busier than it is for a while, or it would take every new session; it never looks full. A weight
-- other than 100 counts the next job too, so that it tells also where all are idle. Light nodes look as busy as their
-- share is used up, squeezed below the score of a full one; those of weight 0 come after everybody else.
local function node_score(c, node)
  local score = math.floor(node.load * 1000000 / node.slots)
  if node.load >= node.slots then
    return score
  end
  if node.weight == 0 then
    score = 999000 + math.floor(node.load * 999 / node.slots)
  elseif node.weight ~= 100 then
    local share = ((node.load + 1) * 100 / node.weight - 1) / node.slots
    score = math.min(998999, math.floor((share > 0.9 and 1 - 0.09 / share or share) * 1000000))
  end
  if node.warm_until <= c.now then
    return score
  end
  return math.min(999999, score + math.min(500000, math.floor((node.warm_until - c.now) * 25)))
end

-- XX: only a node that may be chosen has a score, and taking or giving back a slot does not change whether it may.
local function node_load(c, node)
  node.load = redis.call("HINCRBY", node_key(c.root, node.id), "load", 1)
  redis.call("ZADD", pool_nodes_key(c.root, node.pool_id), "XX", node_score(c, node), node.id)
end

local function node_status(reported, drained, level)
  if reported == "offline" then
    return "offline"
  end
  if drained == "1" or reported == "draining" then
    return "draining"
  end
  if reported == "registering" then
    return "registering"
  end
  if reported == "overloaded" or level > 0 then
    return "degraded"
  end
  return "ready"
end

-- Puts the node into its class or takes it out, after anything but its load has changed.
local function node_settle(c, node)
  local key = node_key(c.root, node.id)
  local v = redis.call("HMGET", key, "reported", "drained", "quarantined_until_ms", "status", "scheduling", "uid")
  local held = v[5] and v[5] ~= "active"
  local status = node_status(v[1], held and "1" or v[2], node.level)
  if status ~= v[4] then
    redis.call("HSET", key, "status", status)
    if (v[6] or "") ~= "" then
      -- The sum over the declared nodes that are in: 44 bits of each, so that 500 000 fit into an integer.
      local function mark(text)
        local counts = text and text ~= "" and text ~= "offline"
        return counts and tonumber(string.sub(redis.sha1hex(node.id .. " " .. text), 1, 11), 16) or 0
      end
      redis.call("HINCRBY", nodes_declared_sums_key(c.root), "live", mark(status) - mark(v[4]))
    end
  end
  local pool = pool_nodes_key(c.root, node.pool_id)
  -- The longest quarantine is 300 s: an end further ahead was written by a clock that has jumped back since.
  local out_ms = node.level == 0 and 0 or tonumber(v[3]) - c.now
  node.choosable = v[1] == "ready" and status ~= "draining" and (out_ms <= 0 or out_ms > 300000)
  node.status = status
  if node.choosable then
    redis.call("ZADD", pool, node_score(c, node), node.id)
  else
    redis.call("ZREM", pool, node.id)
  end
end

-- Three failures within the last five outcomes, or a failed probe, take the node out for a back-off.
local function node_failed(c, node)
  local key = node_key(c.root, node.id)
  local v = redis.call("HMGET", key, "recent", "quarantined_until_ms")
  redis.call("HINCRBY", key, "failed", 1)
  if node.level > 0 and tonumber(v[2]) > c.now then
    return
  end
  local recent = string.sub((v[1] or "") .. "1", -5)
  local _, failures = string.gsub(recent, "1", "")
  if node.level == 0 and failures < 3 then
    redis.call("HSET", key, "recent", recent)
    return
  end
  node.level, node.slots = node.level + 1, 1
  local back_off = math.min(300000, 30000 * 2 ^ (node.level - 1))
  redis.call("HDEL", key, "recent")
  redis.call("HSET", key, "quarantine_level", node.level, "quarantined_until_ms", c.now + back_off)
  node_settle(c, node)
end

-- A success of a node that has failed lately: `recent` is what it had within the last five, or nil.
local function node_recovers(c, node, recent)
  local key = node_key(c.root, node.id)
  if node.level > 0 then
    if tonumber(redis.call("HGET", key, "quarantined_until_ms")) <= c.now then
      node.level, node.slots = 0, node.capacity
      redis.call("HDEL", key, "recent", "quarantine_level", "quarantined_until_ms")
      node_settle(c, node)
    end
    return
  end
  recent = string.sub(recent .. "0", -5)
  if string.find(recent, "1", 1, true) then
    redis.call("HSET", key, "recent", recent)
  else
    redis.call("HDEL", key, "recent")
  end
end

-- `verdict` is "ok", "failed" or "" (not its merit and not its fault). Returns nil if the job held no slot, else what of
-- the node its score needs: an end is as frequent as a dispatch, so that no field is read for nothing.
local function node_give_back(c, node_id, job_id, verdict)
  if redis.call("SREM", node_jobs_key(c.root, node_id), job_id) == 0 then
    return nil
  end
  local key = node_key(c.root, node_id)
  local v = redis.call("HMGET", key, "load", "capacity", "pool_id", "quarantine_level", "warm_until_ms", "weight", "recent",
    "completed")
  if not v[3] then
    return nil
  end
  local level, capacity, load = tonumber(v[4] or 0), tonumber(v[2]), v[1] - 1
  local node = { id = node_id, load = load, slots = level > 0 and 1 or capacity, capacity = capacity, pool_id = v[3],
    level = level, warm_until = tonumber(v[5] or 0), weight = tonumber(v[6] or 100) }
  redis.call("HSET", key, "load", load, "completed", verdict == "ok" and (v[8] or 0) + 1 or v[8] or 0)
  redis.call("ZADD", pool_nodes_key(c.root, node.pool_id), "XX", node_score(c, node), node_id)
  if verdict == "failed" then
    node_failed(c, node)
  elseif verdict == "ok" and (level > 0 or v[7]) then
    node_recovers(c, node, v[7])
  end
  return node
end

-- pools:all tells since when a class has no node and no declaration names it (0: it has some), so that a sweep can
-- retire it. `field` is nodes or declared.
local function class_count(c, pool_id, field, change)
  local key = pool_def_key(c.root, pool_id)
  redis.call("HINCRBY", key, field, change)
  local v = redis.call("HMGET", key, "nodes", "declared")
  local idle = tonumber(v[1] or 0) == 0 and tonumber(v[2] or 0) == 0
  redis.call("ZADD", pools_all_key(c.root), idle and c.now or 0, pool_id)
end

local function class_leave(c, pool_id, node_id)
  redis.call("ZREM", pool_nodes_key(c.root, pool_id), node_id)
  class_count(c, pool_id, "nodes", -1)
end
