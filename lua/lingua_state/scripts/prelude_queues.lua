--[[
prelude_queues: what is done with jobs that wait, as one function, since a call that meets none must not pay for it.

queues() gives {enter, leave, assign, serve, passes, answer}. A queue is the zset of a want, by priority and then age, or
of a node, for jobs whose turn it holds. `waiting` tells since when the first job of each want's queue waits.
]]

local function queues()
  local function score_of(job)
    return job.priority * 10000000000000 + job.created
  end

  local function enter(c, job, queue, due_ms)
    job.queue = queue
    if queue == "*" then
      redis.call("ZADD", waiting_key(c.root, job.want), score_of(job), job.id)
      redis.call("ZADD", waiting_pairs_key(c.root), "NX", c.now, job.want)
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
    redis.call("ZREM", key, job.id)
    local head = redis.call("ZRANGE", key, 0, 0, "WITHSCORES")
    if head[2] then
      redis.call("ZADD", waiting_pairs_key(c.root), head[2] % 10000000000000, job.want)
    else
      redis.call("ZREM", waiting_pairs_key(c.root), job.want)
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

  -- The queues this node could serve: the oldest ones, and where there are very many a random part of the others.
  local function served_by(c, node)
    local key = waiting_pairs_key(c.root)
    local names = redis.call("ZRANGE", key, 0, 63)
    if #names == 64 then
      for _, name in ipairs(redis.call("ZRANDMEMBER", key, 64)) do
        names[#names + 1] = name
      end
    end
    local found = {}
    for _, name in ipairs(names) do
      local w = not found[name] and want_read(c, name)
      if w and want_served_by(c, w, node.pool_id) then
        found[name] = { key = waiting_key(c.root, name), want = w }
      end
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

  return { enter = enter, leave = leave, assign = assign, serve = serve_all, passes = passes, answer = answer }
end
