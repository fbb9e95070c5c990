#!lua
--[[
dispatch: find a node for a new job, take a slot of it and write the job, all at once; or let the job wait.

The turn's node comes first, then the session's, then the least loaded. A job whose turn is at a full node waits for
that node until its turn wait is over. A job never passes an earlier one of its queue that could take the same node.

KEYS[1]  hash    the job
KEYS[2]  hash    its session
KEYS[3]  string  the request id's key; made of the job id, and not used, where there is no request id
KEYS[4]  zset    the queue of the want

ARGV[1]   root             Keys.root
ARGV[2]   sroot            Keys.session_root
ARGV[3]   job_id
ARGV[4]   session_id
ARGV[5]   owner            the instance that holds the audio
ARGV[6]   want             what is asked for, as prelude_choice reads it
ARGV[7]   turn_id          or ""
ARGV[8]   utterances       integer: how many the session has had, with this one
ARGV[9]   priority         0 is served first, 9 last
ARGV[10]  wait_ms          how long to wait for a node; 0: not at all
ARGV[11]  turn_wait_ms     how long to wait for the turn's node when it is full
ARGV[12]  handover_ms      from the assignment to the node's socket
ARGV[13]  run_ms           from the node's acceptance to its result
ARGV[14]  max_attempts
ARGV[15]  exclude          nodes, and instances as @id, that must not have it, with commas, or ""
ARGV[16]  queue_limit      jobs that may wait in one queue
ARGV[17]  ttl_ms           of the record
ARGV[18]  has_request_id   1 or 0
ARGV[19]  request          what is kept of the request, JSON
ARGV[20]  generation       of the caller's attach of the session; 0: it holds none, nothing is compared

Returns  {"assigned", row, others}                       row and others as assigned_row makes them
         {"waiting", job_id, until_ms, ahead, others}
         {"known", job_id, due_ms, record}               this job or request went further before
         {"no_node"}                                     none is free and wait_ms is 0; nothing was written
         {"queue_full", depth}                           nothing was written
         {"replaced", generation}                        a later attach holds the session; nothing was written

Clock    Redis TIME
Repeat   safe: known by the job id; the first answer comes again while it holds.
]]
local c = context(ARGV[1], ARGV[2])
local first = ARGV[18] == "1" and redis.call("GET", KEYS[3])
local known = first and first ~= ARGV[3] and queues().answer(c, first, 0)
if known then
  return known
end
-- In one look: is the job known, does anybody wait for the same?
local depth = redis.call("EXISTS", KEYS[1], KEYS[4])
if depth > 0 then
  known = queues().answer(c, ARGV[3], 1)
  if known then
    return known
  end
  depth = redis.call("ZCARD", KEYS[4])
end

local job = {
  id = ARGV[3], session = ARGV[4], owner = ARGV[5], want = ARGV[6], turn = ARGV[7], priority = ARGV[9],
  created = c.now, wait_until = c.now + ARGV[10], turn_until = c.now + math.min(ARGV[11], ARGV[10]),
  handover = ARGV[12], run = ARGV[13], max_attempts = ARGV[14], exclude = ARGV[15], attempt = 0, queue = "", lost = "",
  node = "", affinity = "none",
}
local w = want_read(c, job.want)
local exclude = id_set(job.exclude)
local session = session_read(c, job)
-- Who was paused and comes back must neither take a slot nor move the turn of who holds the session now. A record that
-- is gone, or was set back, is no reason: the store may have lost its past.
if session.known and ARGV[20] ~= "0" and tonumber(session.known) > tonumber(ARGV[20]) then
  return { "replaced", tonumber(session.known) }
end
local preferred = session.turn_node ~= "" and session.turn_node or session.node
local node, pinned
if preferred ~= "" then
  node = node_read(c, preferred)
  local unfit = node_unfit(c, w, node, exclude)
  pinned = unfit == "full" and session.turn_node ~= "" and job.turn_until > c.now
  node = not unfit and node or nil
end
if not node and not pinned then
  node = choose(c, w, exclude)
end
local passed = node and depth > 0 and queues().passes(c, w, job, node) and node or nil
if passed or not node then
  if ARGV[10] == "0" then
    return { "no_node" }
  end
  if depth >= tonumber(ARGV[16]) then
    return { "queue_full", depth }
  end
end

if ARGV[18] == "1" then
  redis.call("SET", KEYS[3], job.id, "PX", ARGV[17])
end
if node and not passed then
  job.status = "assigned"
  job_place(c, session, job, node)
  job_write(c, KEYS[1], job, ARGV[19], ARGV[17])
  if session.known then
    redis.call("HSET", KEYS[2], "node_id", node.id, "turn_id", job.turn, "turn_node", node.id, "utterances", ARGV[8])
  end
  return { "assigned", assigned_row(job, node), c.assigned }
end

if not pinned and session.turn_node ~= "" then
  job.turn_until = c.now -- its turn's node can't have it, so it is not waited for
end
job.status = "pending"
queues().enter(c, job, pinned and preferred or "*", pinned and job.turn_until or job.wait_until)
job_write(c, KEYS[1], job, ARGV[19], ARGV[17])
if session.known then
  redis.call("HSET", KEYS[2], "turn_id", job.turn, "turn_node", session.turn_node, "utterances", ARGV[8])
end
if passed then
  queues().serve(c, passed)
end
for i, row in ipairs(c.assigned) do
  if row[1] == job.id then
    return { "assigned", table.remove(c.assigned, i), c.assigned }
  end
end
return queues().answer(c, job.id, 1)
