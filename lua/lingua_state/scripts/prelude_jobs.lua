--[[
prelude_jobs: the shared functions about jobs: their record, an assignment, the end of an attempt and of a job.

A job is a table as job_read makes it. Its `queue` is "" (it does not wait), "*" (in the queue of its want) or the node
whose queue it stands in, since that node holds its turn. `lost` says why its last attempt ended without an answer.
]]

-- The record of a new job has six fields, since each costs time and memory: `request` is what was asked (JSON, as
-- lingua_state.dispatch writes it), `terms` what the rules need: when it was made, until when it waits for any node and
-- for its turn's, its priority, the ms from assignment to socket and from there to the result, the attempts it has.
local function terms_text(job)
  return string.format("%d %d %d ", job.created, job.wait_until, job.turn_until) .. job.priority .. " "
    .. job.handover .. " " .. job.run .. " " .. job.max_attempts
end

local function job_read(c, job_id)
  local v = redis.call("HMGET", job_key(c.root, job_id), "status", "attempt_id", "node_id", "incarnation", "terms",
    "request", "exclude", "queue", "lost")
  if not v[1] then
    return nil
  end
  local terms = {}
  for word in string.gmatch(v[5], "%d+") do
    terms[#terms + 1] = tonumber(word)
  end
  local request = cjson.decode(v[6])
  return {
    id = job_id, status = v[1], attempt = tonumber(v[2]), node = v[3] or "", incarnation = v[4] or "",
    session = request.session_id, owner = request.owner, want = request.want, turn = request.turn_id,
    created = terms[1], wait_until = terms[2], turn_until = terms[3], priority = terms[4], handover = terms[5],
    run = terms[6], max_attempts = terms[7], exclude = v[7] or "", queue = v[8] or "", lost = v[9] or "",
  }
end

local function is_running(status)
  return status == "assigned" or status == "dispatched" or status == "accepted" or status == "processing"
end

local function is_terminal(status)
  return status ~= "pending" and not is_running(status)
end

local function job_index(c, job_id, old, new)
  if old ~= new then
    redis.call("ZREM", jobs_key(c.root, old), job_id)
    redis.call("ZADD", jobs_key(c.root, new), c.now, job_id)
  end
end

-- The session as a job sees it: `turn_node` holds the job's turn, "" if none does; `same_turn`: it is the present one.
local function session_read(c, job)
  local v = redis.call("HMGET", session_key(c.sroot, job.session), "generation", "node_id", "turn_id", "turn_node")
  local same_turn = job.turn ~= "" and v[3] == job.turn
  return { known = v[1], node = v[2] or "", same_turn = same_turn, turn_node = same_turn and v[4] or "" }
end

-- What the models call Assigned, in its order.
local function assigned_row(job, node)
  return { job.id, job.session, job.owner, job.attempt, node.id, node.incarnation, node.instance, node.acks,
    job.affinity, job.due, job.moved_from }
end

-- Takes the slot and fills in the job's table; the caller writes the record.
local function job_place(c, session, job, node)
  job.affinity = session.turn_node == node.id and "turn" or session.node == node.id and "session" or "none"
  job.moved_from = session.node ~= node.id and session.node or ""
  job.due = c.now + job.handover
  job.node, job.incarnation, job.attempt = node.id, node.incarnation, job.attempt + 1
  redis.call("SADD", node_jobs_key(c.root, node.id), job.id)
  node_load(c, node)
  redis.call("ZADD", jobs_deadline_key(c.root), job.due, job.id)
end

-- Writes the record of a new job; a field that would be empty is left out. It lives a day longer than that of an ended
-- one, so that no jump of the clock takes it from under a node's work: the node's slot would never come free.
local function job_write(c, key, job, request, ttl_ms)
  local fields = { "status", job.status, "attempt_id", job.attempt, "terms", terms_text(job), "request", request }
  if job.status == "assigned" then
    fields[9], fields[10], fields[11], fields[12] = "node_id", job.node, "incarnation", job.incarnation
    if job.affinity ~= "none" then
      fields[13], fields[14] = "affinity", job.affinity
    end
    if job.moved_from ~= "" then
      fields[#fields + 1], fields[#fields + 2] = "moved_from", job.moved_from
    end
  else
    fields[9], fields[10], fields[11], fields[12] = "queue", job.queue, "lost", job.lost
  end
  if job.exclude ~= "" then
    fields[#fields + 1], fields[#fields + 2] = "exclude", job.exclude
  end
  redis.call("HSET", key, unpack(fields))
  redis.call("PEXPIRE", key, ttl_ms + 86400000)
  redis.call("ZADD", jobs_key(c.root, job.status), job.created, job.id)
end

-- Gives the free slots of a node to those who wait.
local function serve(c, node)
  if redis.call("EXISTS", waiting_pairs_key(c.root), node_waiting_key(c.root, node.id)) > 0 then
    queues().serve(c, node_read(c, node.id))
  end
end

-- Ends an attempt that gave no answer: its slot is free and its word no longer counts. The owner has `grace_ms` to
-- decide what comes next.
local function job_fence(c, job, reason, verdict, grace_ms)
  local node = node_give_back(c, job.node, job.id, verdict)
  job_index(c, job.id, job.status, "pending")
  redis.call("ZADD", jobs_deadline_key(c.root), c.now + grace_ms, job.id)
  redis.call("HSET", job_key(c.root, job.id), "status", "pending", "lost", reason, "lost_node", job.node, "node_id", "",
    "incarnation", "")
  c.lost[#c.lost + 1] = { job.id, job.session, job.owner, job.attempt, job.node, job.status, reason }
  return node
end

-- Brings a job to its end from wherever it is; returns the node whose slot came free.
local function job_end(c, job, status, code, message, verdict)
  if job.queue ~= "" then
    queues().leave(c, job)
  end
  local node = is_running(job.status) and node_give_back(c, job.node, job.id, verdict) or nil
  redis.call("ZREM", jobs_deadline_key(c.root), job.id)
  job_index(c, job.id, job.status, status)
  local fields = { "status", status, "ended_ms", c.now }
  if job.queue ~= "" then
    fields[5], fields[6] = "queue", ""
  end
  if code ~= "" then
    for _, word in ipairs({ "error_code", code, "error_message", message }) do
      fields[#fields + 1] = word
    end
  end
  local key = job_key(c.root, job.id)
  redis.call("HSET", key, unpack(fields))
  redis.call("PEXPIRE", key, 3600000)
  return node
end

-- The error that a client reads when nobody took care of a lost job any more.
local function lost_code(reason)
  if reason == "node_lost" or reason == "node_replaced" or reason == "drain" then
    return "WS_DISCONNECTED"
  end
  if string.find(reason, "timeout", 1, true) then
    return "JOB_TIMEOUT"
  end
  return "PROCESSING_ERROR"
end

-- Lets those that wait for this node alone look elsewhere at once.
local function unpin_waiters(c, node_id)
  for _, job_id in ipairs(redis.call("ZRANGE", node_waiting_key(c.root, node_id), 0, 99)) do
    redis.call("ZADD", jobs_deadline_key(c.root), c.now, job_id)
  end
end

-- Ends the attempts of a node, at most `limit`; returns how many are left.
local function node_release(c, node_id, reason, limit)
  local key = node_jobs_key(c.root, node_id)
  for _, job_id in ipairs(redis.call("SRANDMEMBER", key, limit)) do
    local job = job_read(c, job_id)
    if job and is_running(job.status) and job.node == node_id then
      job_fence(c, job, reason, "", 5000)
    else
      node_give_back(c, node_id, job_id, "")
    end
  end
  unpin_waiters(c, node_id)
  return redis.call("SCARD", key)
end

-- Takes a node out: nobody chooses it, its lease is over, its record stays for ten minutes.
local function node_out(c, node)
  class_leave(c, node.pool_id, node.id)
  redis.call("ZREM", nodes_lease_key(c.root), node.id)
  redis.call("SREM", nodes_all_key(c.root), node.id)
  redis.call("HSET", node_key(c.root, node.id), "reported", "offline", "lease_expires_ms", 0)
  node_settle(c, node)
  redis.call("PEXPIRE", node_key(c.root, node.id), 600000)
  -- A node that goes while it works has failed once, however many jobs it had.
  if node.load > 0 then
    node_failed(c, node)
  end
end
