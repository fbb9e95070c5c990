#!lua
--[[
sweep: do what has come due: end lapsed attempts, waits and lost jobs, take out nodes whose lease is over, and let the
first of each queue try again. Any number of sweepers may run: what one has done is not due for the next.

KEYS[1]     zset  the deadlines
KEYS[2]     zset  the leases
KEYS[3]     zset  the queues that have waiters
KEYS[4]     zset  every known class
KEYS[5]     list  what others decided and could not tell
KEYS[6..n]  zset  the indexes of ended jobs

ARGV[1]  root           Keys.root
ARGV[2]  sroot          Keys.session_root
ARGV[3]  limit          integer > 0: jobs of one call
ARGV[4]  expire_ms      nodes whose lease was over by then are taken out, a later one not: the caller may have stood still
                        since it asked. 0: none is, as when the store just came back
ARGV[5]  grace_ms       how long the owner of a lost job has to decide
ARGV[6]  ended_count    how many ended jobs of each status the index keeps
ARGV[7]  ended_ms       and for how long
ARGV[8]  idle_ms        how long a class without a node stays listed
ARGV[9]  late_ms        what is overdue by more, or further ahead than it can be, was not late by itself: the clock
                        jumped, or nobody swept. Its time begins anew
ARGV[10] lease_ms       the lease that a node gets then

Returns  {"ok", lost, ended, expired, assigned, idle, more, now_ms}
         lost: rows as job_fence makes them; ended: {job_id, session_id, owner, code}; expired: node ids;
         assigned: rows as assigned_row makes them; idle: classes to retire; more: 1 if there is more to do now

Clock    Redis TIME
Repeat   safe: what is done is not due again.
]]
local c = context(ARGV[1], ARGV[2])
local ended = {}
local limit, grace_ms = tonumber(ARGV[3]), tonumber(ARGV[5])
local late_ms, lease_ms = tonumber(ARGV[9]), tonumber(ARGV[10])

local function end_lapsed(job, code)
  job_end(c, job, "failed", code, "", "")
  ended[#ended + 1] = { job.id, job.session, job.owner, code }
end

-- The turn's node had its time: any node will do now.
local function unpin(job)
  local node = choose(c, want_read(c, job.want), id_set(job.exclude))
  if node then
    c.assigned[#c.assigned + 1] = queues().assign(c, session_read(c, job), job, node)
    return
  end
  queues().leave(c, job)
  queues().enter(c, job, "*", job.wait_until)
  job.turn_until = c.now
  redis.call("HSET", job_key(c.root, job.id), "queue", "*", "terms", terms_text(job))
end

local lapsed = { assigned = "handover_timeout", dispatched = "offer_timeout", accepted = "job_timeout",
  processing = "job_timeout" }

local function end_attempt(job)
  local reason = lapsed[job.status]
  local silent = job.status == "dispatched"
    and redis.call("HGET", node_key(c.root, job.node), "acks") ~= "1"
  local node = job_fence(c, job, silent and "job_timeout" or reason, reason == "handover_timeout" and "" or "failed", grace_ms)
  if node then
    serve(c, node)
  end
end

local function settle(job)
  if is_running(job.status) then
    end_attempt(job)
  elseif job.queue ~= "" and job.queue ~= "*" and job.wait_until > c.now then
    unpin(job)
  elseif job.queue ~= "" or job.lost == "created" then
    end_lapsed(job, "NO_AVAILABLE_NODE")
  else
    end_lapsed(job, lost_code(job.lost))
  end
end

-- How long a job may be in its state: as a rule, and at most.
local function periods(job)
  if job.status == "pending" then
    local wait = job.queue ~= "" and math.max(1, job.wait_until - job.created) or grace_ms
    return math.min(wait, 600000), wait
  end
  local short = job.status == "assigned" or job.status == "dispatched"
  return short and job.handover or job.run, math.max(job.handover, job.run)
end

local function begin_again(job)
  local due_ms = c.now + periods(job)
  if job.queue == "" then
    redis.call("ZADD", KEYS[1], due_ms, job.id)
    return
  end
  queues().leave(c, job)
  job.wait_until, job.turn_until = due_ms, c.now
  queues().enter(c, job, "*", due_ms)
  redis.call("HSET", job_key(c.root, job.id), "queue", "*", "terms", terms_text(job))
end

local ahead = redis.call("ZRANGE", KEYS[1], 0, 3, "REV", "WITHSCORES")
for i = 1, #ahead, 2 do
  local job = tonumber(ahead[i + 1]) > c.now + late_ms and job_read(c, ahead[i])
  local _, most = 0, 0
  if job then
    _, most = periods(job)
  end
  if job and tonumber(ahead[i + 1]) > c.now + most + late_ms then
    begin_again(job)
  end
end

local due = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", c.now, "LIMIT", 0, limit)
for _, job_id in ipairs(due) do
  local job = job_read(c, job_id)
  local due_ms = tonumber(redis.call("ZSCORE", KEYS[1], job_id) or 0)
  if not job or is_terminal(job.status) then
    redis.call("ZREM", KEYS[1], job_id)
  elseif due_ms < c.now - late_ms then
    begin_again(job)
  elseif due_ms <= c.now then
    -- An earlier turn of this loop may have given it a node.
    settle(job)
  end
end

local function lease_anew(node_id)
  redis.call("ZADD", KEYS[2], c.now + lease_ms, node_id)
  redis.call("HSET", node_key(c.root, node_id), "lease_expires_ms", c.now + lease_ms)
end

-- Other instances may give longer leases, but not so much longer.
for _, node_id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[2], c.now + 10 * lease_ms, "+inf", "LIMIT", 0, limit)) do
  lease_anew(node_id)
end

local expired, left = {}, 0
-- Who is spared gets its new lease early, or would get one only when it is spared no more.
local lapsed_ms = ARGV[4] ~= "0" and math.min(c.now, tonumber(ARGV[4])) or c.now - late_ms - 1
local leases = redis.call("ZRANGEBYSCORE", KEYS[2], "-inf", lapsed_ms, "LIMIT", 0, limit)
for _, node_id in ipairs(leases) do
  if #c.lost >= limit then
    break
  end
  local node = node_read(c, node_id)
  local late = node and tonumber(redis.call("ZSCORE", KEYS[2], node_id)) < c.now - late_ms
  if late then
    lease_anew(node_id)
  elseif node then
    left = node_release(c, node_id, "node_lost", limit - #c.lost)
    redis.call("ZREM", pool_nodes_key(c.root, node.pool_id), node_id)
  end
  if node and not late and left == 0 then
    node_out(c, node)
  end
  if not late and left == 0 then
    redis.call("ZREM", KEYS[2], node_id)
    redis.call("SREM", nodes_all_key(c.root), node_id)
    expired[#expired + 1] = node_id
  end
end

-- What time alone has made possible, such as the end of an exclusion, nobody else would notice.
local wants = redis.call("ZRANGE", KEYS[3], 0, 15)
if #wants == 16 then
  for _, want in ipairs(redis.call("ZRANDMEMBER", KEYS[3], 8)) do
    wants[#wants + 1] = want
  end
end
for _, want in ipairs(wants) do
  local head = redis.call("ZRANGE", waiting_key(c.root, want), 0, 0, "WITHSCORES")
  local job = head[1] and job_read(c, head[1])
  local node = job and job.wait_until > c.now and choose(c, want_read(c, want), id_set(job.exclude))
  if node then
    serve(c, node)
  else
    queues().note(c, want, job and head[2]) -- an older version notes no names
  end
end

for i = 6, #KEYS do
  redis.call("ZREMRANGEBYSCORE", KEYS[i], "-inf", c.now - ARGV[7])
  redis.call("ZREMRANGEBYRANK", KEYS[i], 0, -1 - ARGV[6])
end
local idle = redis.call("ZRANGEBYSCORE", KEYS[4], 1, c.now - ARGV[8], "LIMIT", 0, 10)
local more = (#due == limit or #leases == limit or left > 0 or #c.lost >= limit) and 1 or 0
for _, text in ipairs(redis.call("LPOP", KEYS[5], limit) or {}) do
  local notice = cjson.decode(text)
  local rows = notice[1] == "assigned" and c.assigned or c.lost
  rows[#rows + 1] = notice[2]
end
return { "ok", c.lost, ended, expired, c.assigned, idle, more, c.now }
