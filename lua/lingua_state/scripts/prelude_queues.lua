--[[
prelude_queues: what is done with jobs that wait, as one function, since a call that meets none must not pay for it.

queues() gives {enter, leave, assign, serve, passes, answer, note}. A queue is the zset of a want, by priority and then age, or
of a node, for jobs whose turn it holds. `waiting` tells since when the first job of each want's queue waits.
]]

local function queues()
  local function score_of(job)
    return job.priority * 10000000000000 + job.created
  end

  local function names_of(want)
    local pair, rest = string.match(want, "^([^%[<@#]+)(.*)$")
    local a, b = string.match(rest, "^<([^,>]+),([^>]+)>")
    local name = pair
    if a then
      name = a .. ":" .. b .. "<"
    elseif string.sub(rest, 1, 1) == "[" then
      name = string.match(pair, ":(.+)$") .. "["
    end
    local names = { name }
    for _, scope in ipairs({ string.match(rest, "@[^#]+") or "", string.match(rest, "#.+") or "" }) do
      names[#names + 1] = scope ~= "" and name .. scope or nil
    end
    return names
  end

  -- After the first of a queue has changed. `head`: nil, nobody waits in it any more.
  local function note_head(c, want, head)
    if head then
      redis.call("ZADD", waiting_pairs_key(c.root), head % 10000000000000, want)
    else
      redis.call("ZREM", waiting_pairs_key(c.root), want)
    end
    for _, name in ipairs(names_of(want)) do
      local key = waiting_for_key(c.root, name)
      if head then
        redis.call("ZADD", key, head, want)
        redis.call("SADD", waiting_names_key(c.root), name)
      elseif redis.call("ZREM", key, want) == 1 and redis.call("EXISTS", key) == 0 then
        redis.call("SREM", waiting_names_key(c.root), name)
      end
    end
  end

  local function enter(c, job, queue, due_ms)
    job.queue = queue
    if queue == "*" then
      local key = waiting_key(c.root, job.want)
      redis.call("ZADD", key, score_of(job), job.id)
      if redis.call("ZRANK", key, job.id) == 0 then
        note_head(c, job.want, score_of(job))
      end
    else
      redis.call("ZADD", node_waiting_key(c.root, queue), score_of(job), job.id)
    end
    redis.call("ZADD", jobs_deadline_key(c.root), due_ms, job.id)
  end

  local function leave(c, job)
    if job.queue ~= "*" then
      redis.call("ZREM", node_waiting_key(c.root, job.queue), job.id)
      return
    end
    local key = waiting_key(c.root, job.want)
    local rank = redis.call("ZRANK", key, job.id)
    redis.call("ZREM", key, job.id)
    if rank == 0 then
      note_head(c, job.want, redis.call("ZRANGE", key, 0, 0, "WITHSCORES")[2])
    end
  end

  -- Gives a pending job to a node. Only a session that is attached is written to: a late job must not bring back one
  -- that was closed.
  local function assign(c, session, job, node)
    if job.queue ~= "" then
      leave(c, job)
    end
    job_place(c, session, job, node)
    redis.call("ZREM", jobs_key(c.root, "pending"), job.id)
    redis.call("ZADD", jobs_key(c.root, "assigned"), c.now, job.id)
    job.status, job.queue, job.lost = "assigned", "", ""
    redis.call("HSET", job_key(c.root, job.id), "status", "assigned", "attempt_id", job.attempt, "node_id", node.id,
      "incarnation", node.incarnation, "assigned_ms", c.now, "affinity", job.affinity, "moved_from", job.moved_from,
      "queue", "", "lost", "")
    if session.known and session.same_turn then
      redis.call("HSET", session_key(c.sroot, job.session), "node_id", node.id, "turn_node", node.id)
    elseif session.known then
      redis.call("HSET", session_key(c.sroot, job.session), "node_id", node.id)
    end
    return assigned_row(job, node)
  end

  -- Whether a waiting job may go to this node now. One whose turn is at another node gives that one its time first.
  local function fits(c, w, job, session, node)
    if job.status ~= "pending" or job.queue == "" or job.wait_until <= c.now then
      return false
    end
    if session.turn_node ~= "" and session.turn_node ~= node.id and c.now < job.turn_until then
      return false
    end
    return not node_refusal(c, w, node, id_set(job.exclude))
  end

  -- The first of a queue that may go to this node; a queue is looked at sixteen deep.
  local function first_for(c, key, w, node)
    local ids = redis.call("ZRANGE", key, 0, 15, "WITHSCORES")
    for i = 1, #ids, 2 do
      local job = job_read(c, ids[i])
      local session = job and session_read(c, job)
      if job and fits(c, w or want_read(c, job.want), job, session, node) then
        return { job = job, session = session, score = tonumber(ids[i + 1]) }
      end
    end
    return nil
  end

  -- The wants under one name that a node of this class serves, those first that are to be served first.
  local function wants_under(c, name, node, wants)
    local listed = string.find(name, "[", 1, true)
    local rows = redis.call("ZRANGE", waiting_for_key(c.root, name), 0, listed and 63 or 7, "WITHSCORES")
    for i = 1, #rows, 2 do
      local w = not wants[rows[i]] and want_read(c, rows[i])
      if w and want_served_by(c, w, node.pool_id) then
        wants[rows[i]] = { name = rows[i], key = waiting_key(c.root, rows[i]), want = w, score = tonumber(rows[i + 1]) }
      end
    end
  end

  -- The queues this node could serve, the first sixteen of them.
  local function served_by(c, node)
    local wants, queues, found = {}, {}, {}
    local names = redis.call("SINTER", waiting_names_key(c.root), pool_names_key(c.root, node.pool_id))
    if #names == 0 and redis.call("EXISTS", pool_names_key(c.root, node.pool_id)) == 0 then
      names = redis.call("SRANDMEMBER", waiting_names_key(c.root), 64) -- a class that an older version listed
    end
    for _, name in ipairs(names) do
      wants_under(c, name, node, wants)
    end
    for _, queue in pairs(wants) do
      queues[#queues + 1] = queue
    end
    table.sort(queues, function(a, b)
      return a.score < b.score or (a.score == b.score and a.name < b.name)
    end)
    for i = 1, math.min(#queues, 16) do
      found[queues[i].name] = queues[i]
    end
    return found
  end

  local function best_of(c, found, node)
    local best, best_queue
    for name, queue in pairs(found) do
      queue.head = queue.head or first_for(c, queue.key, queue.want, node)
      if not queue.head then
        found[name] = nil
      elseif not best or queue.head.score < best.score then
        best, best_queue = queue.head, queue
      end
    end
    if best then
      best_queue.head = nil
    end
    return best
  end

  local function may_serve(c, node)
    return node.load < node.slots and #c.assigned < 100
  end

  -- Gives the free slots of a node to those who wait: first the jobs of turns it holds, then by priority and age.
  local function serve_all(c, node)
    if not redis.call("ZSCORE", pool_nodes_key(c.root, node.pool_id), node.id) then
      return
    end
    while may_serve(c, node) do
      local found = first_for(c, node_waiting_key(c.root, node.id), nil, node)
      if not found then
        break
      end
      c.assigned[#c.assigned + 1] = assign(c, found.session, found.job, node)
    end
    local found = may_serve(c, node) and served_by(c, node) or {}
    while may_serve(c, node) do
      local best = best_of(c, found, node)
      if not best then
        break
      end
      c.assigned[#c.assigned + 1] = assign(c, best.session, best.job, node)
    end
  end

  -- Whether a job would pass an earlier one of at least its priority that could take this node.
  local function passes(c, w, job, node)
    local key = waiting_key(c.root, job.want)
    for _, id in ipairs(redis.call("ZRANGEBYSCORE", key, "-inf", score_of(job), "LIMIT", 0, 16)) do
      local other = job_read(c, id)
      if other and fits(c, w, other, session_read(c, other), node) then
        return true
      end
    end
    return false
  end

  -- What a call is told about a job that is not new: the first answer while it holds at `attempt`, else how far it is.
  -- nil: there is no such job.
  local function answer(c, job_id, attempt)
    local job = job_read(c, job_id)
    if not job then
      return nil
    end
    if job.status == "pending" and job.queue ~= "" and job.attempt < attempt then
      local key = job.queue == "*" and waiting_key(c.root, job.want) or node_waiting_key(c.root, job.queue)
      return { "waiting", job.id, job.wait_until, redis.call("ZRANK", key, job.id) or 0, c.assigned }
    end
    local due = redis.call("ZSCORE", jobs_deadline_key(c.root), job.id) or "0"
    local node = job.status == "assigned" and job.attempt == attempt and node_read(c, job.node)
    if node and node.incarnation == job.incarnation then
      local v = redis.call("HMGET", job_key(c.root, job.id), "affinity", "moved_from")
      job.due, job.affinity, job.moved_from = due, v[1] or "none", v[2] or ""
      return { "assigned", assigned_row(job, node), c.assigned }
    end
    return { "known", job.id, due, redis.call("HGETALL", job_key(c.root, job.id)) }
  end

  return { enter = enter, leave = leave, assign = assign, serve = serve_all, passes = passes, answer = answer,
    note = note_head }
end
