#!lua flags=no-writes
--[[
session_list: read a page of the live sessions, in the order in which their records lapse.

KEYS[1]  zset  the sessions by the ms at which their record lapses

ARGV[1]  sroot     Keys.session_root
ARGV[2]  after_ms  where the page before ended: score of its last session, 0 for the first page
ARGV[3]  after_id  and its id
ARGV[4]  limit     integer, 1 to 1000

Returns  {"ok", {id, expires_ms, {field, value, ...}}, ...}

Clock    Redis TIME
Repeat   safe: it writes nothing. A session that is touched between two pages may come twice, none is left out.
]]
local first = redis.call("ZCOUNT", KEYS[1], "-inf", "(" .. math.max(tonumber(ARGV[2]), now_ms()))
if redis.call("ZSCORE", KEYS[1], ARGV[3]) == ARGV[2] then
  first = math.max(first, redis.call("ZRANK", KEYS[1], ARGV[3]) + 1)
end
local page = redis.call("ZRANGE", KEYS[1], first, first + ARGV[4] - 1, "WITHSCORES")
local reply = { "ok" }
for at = 1, #page, 2 do
  reply[#reply + 1] = { page[at], page[at + 1], redis.call("HGETALL", session_key(ARGV[1], page[at])) }
end
return reply
