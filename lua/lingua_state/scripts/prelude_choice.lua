--[[
prelude_choice: the shared functions that choose a node.

A want says what a job asks for, as text that also names its queue: `src:tgt`, then `<a,b>` for both directions or
`[a,b,c]` for the languages that `auto` may turn out to be, then `@tenant`, then `#pairing`. want_read makes of it the
pair names that a class must be listed under (all of them, within one scope) and the scopes the asker may see.
]]

local function want_read(c, want)
  if not string.find(want, "[%[<@#]") then
    return { pairs = { want }, scopes = { "" } }
  end
  local pair, rest = string.match(want, "^([^%[<@#]+)(.*)$")
  local scopes = { "", string.match(rest, "@[^#]+") }
  scopes[#scopes + 1] = string.match(rest, "#.+")
  local a, b = string.match(rest, "^<([^,>]+),([^>]+)>")
  if a then
    return { pairs = { a .. ":" .. b, b .. ":" .. a }, scopes = scopes }
  end
  local offered, target = {}, string.match(pair, ":(.+)$")
  for language in string.gmatch(string.match(rest, "^%[([^%]]+)%]") or "", "[^,]+") do
    local name = language .. ":" .. target
    for _, scope in ipairs(scopes) do
      if language ~= target and redis.call("EXISTS", pool_key(c.root, name .. scope)) == 1 then
        offered[#offered + 1] = name
        break
      end
    end
  end
  return { pairs = #offered > 0 and offered or { pair }, scopes = scopes }
end

local function want_served_by(c, w, pool_id)
  for _, scope in ipairs(w.scopes) do
    local all = true
    for _, pair in ipairs(w.pairs) do
      all = all and redis.call("SISMEMBER", pool_key(c.root, pair .. scope), pool_id) == 1
    end
    if all then
      return true
    end
  end
  return false
end

-- Why a node that stands in a right class cannot have the job; nil if it can.
local function node_refusal(c, w, node, exclude)
  if next(exclude) and (exclude[node.id] or exclude["@" .. node.instance]) then
    return "excluded"
  end
  if node.lease <= c.now then
    return "lease_stale"
  end
  if node.excluded ~= "" then
    for name, until_ms in string.gmatch(node.excluded, "(%S+)=(%d+)") do
      for _, pair in ipairs(w.pairs) do
        if name == pair and tonumber(until_ms) > c.now then
          return "pair_excluded"
        end
      end
    end
  end
  if node.load >= node.slots then
    return "full"
  end
  return nil
end

-- The same for any node, as affinity needs it.
local function node_unfit(c, w, node, exclude)
  if not node or not want_served_by(c, w, node.pool_id) then
    return "not_offered"
  end
  if not redis.call("ZSCORE", pool_nodes_key(c.root, node.pool_id), node.id) then
    return "not_ready"
  end
  return node_refusal(c, w, node, exclude)
end

-- Equally loaded ones take turns by chance, or the first by name would do most of the work. Counting them would walk a
-- large class, so one at random is tried first, then one of the first eight.
local function least_loaded(c, classes, from, count)
  local best, best_score, best_text, best_key = nil, 1000000, nil, nil
  for i = from, from + count - 1 do
    local pool_id = classes[(i - 1) % #classes + 1]
    local key = pool_nodes_key(c.root, pool_id)
    local head = redis.call("ZRANGE", key, "0", "0", "WITHSCORES")
    local score = tonumber(head[2] or 1000000)
    if score < best_score then
      best, best_score, best_text, best_key = head[1], score, head[2], key
    end
  end
  if not best then
    return nil
  end
  local other = redis.call("ZRANDMEMBER", best_key, "1", "WITHSCORES")
  if other[2] == best_text then
    return node_read(c, other[1])
  end
  local rank = c.dice % 8
  other = redis.call("ZRANGE", best_key, rank, rank, "WITHSCORES")
  if other[2] == best_text then
    best = other[1]
  end
  return node_read(c, best)
end

-- Up to nine classes tell whether there are more than eight.
local function want_classes(c, w, whole)
  if #w.pairs == 1 and #w.scopes == 1 and not whole then
    return redis.call("SRANDMEMBER", pool_key(c.root, w.pairs[1]), "9")
  end
  local found = {}
  for _, scope in ipairs(w.scopes) do
    local keys = {}
    for i, pair in ipairs(w.pairs) do
      keys[i] = pool_key(c.root, pair .. scope)
    end
    for _, pool_id in ipairs(redis.call("SINTER", unpack(keys))) do
      found[#found + 1] = pool_id
    end
  end
  return found
end

-- The least loaded fit node, or nil. Over eight classes a sample of four is looked at first, all of them on a miss.
local function choose(c, w, exclude)
  local classes = want_classes(c, w, false)
  if #classes == 0 then
    return nil
  end
  local sampled = #classes > 8
  local node = least_loaded(c, classes, c.dice % #classes + 1, sampled and 4 or #classes)
  if node and not node_refusal(c, w, node, exclude) then
    return node
  end
  if not node and not sampled then
    return nil
  end
  if sampled then
    classes = want_classes(c, w, true)
    node = least_loaded(c, classes, 1, #classes)
    if not node or not node_refusal(c, w, node, exclude) then
      return node
    end
  end
  -- The slow way, where the least loaded one is refused: the first fit one of each class, in order of load.
  local function of_class(key)
    for page = 0, 15 do
      local ids = redis.call("ZRANGEBYSCORE", key, "-inf", "(1000000", "LIMIT", page * 64, 64)
      for _, id in ipairs(ids) do
        local node = node_read(c, id)
        if node and not node_refusal(c, w, node, exclude) then
          return node
        end
      end
      if #ids < 64 then
        return nil
      end
    end
    return nil
  end

  local best, best_score = nil, 1000000
  for _, pool_id in ipairs(classes) do
    local node = of_class(pool_nodes_key(c.root, pool_id))
    local score = node and node_score(c, node) or 1000000
    if score < best_score then
      best, best_score = node, score
    end
  end
  return best
end

local function id_set(text)
  local set = {}
  if text == "" then
    return set
  end
  for id in string.gmatch(text, "[^,]+") do
    set[id] = true
  end
  return set
end
