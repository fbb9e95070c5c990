#!lua flags=no-writes
--[[
job_list: read a page of jobs, those first that came to their status last.

KEYS[1..n]  zset  the jobs of each status that is wanted

ARGV[1]  root       Keys.root
ARGV[2]  before_ms  where the page before ended: score of its last job; "+inf" for the first page
ARGV[3]  before_id  and its id; "" for the first page
ARGV[4]  limit      integer, 1 to 1000

Returns  {"ok", {job_id, ms, due_ms, record}, ...}

Clock    none
Repeat   safe: it writes nothing. A job that changes between two pages may come twice or be left out.
]]
local limit = tonumber(ARGV[4])
local found = {}
for _, key in ipairs(KEYS) do
  -- Jobs of the very millisecond where the last page ended come again and are passed over by their id.
  local page = redis.call("ZREVRANGEBYSCORE", key, ARGV[2], "-inf", "WITHSCORES", "LIMIT", 0, limit + 200)
  for at = 1, #page, 2 do
    if page[at + 1] ~= ARGV[2] or page[at] < ARGV[3] then
      found[#found + 1] = { page[at], page[at + 1] }
    end
  end
end
table.sort(found, function(a, b)
  if a[2] ~= b[2] then
    return tonumber(a[2]) > tonumber(b[2])
  end
  return a[1] > b[1]
end)
local reply = { "ok" }
for at = 1, math.min(limit, #found) do
  local id, ms = found[at][1], found[at][2]
  local due = redis.call("ZSCORE", jobs_deadline_key(ARGV[1]), id) or "0"
  reply[at + 1] = { id, ms, due, redis.call("HGETALL", job_key(ARGV[1], id)) }
end
return reply
