#!lua
--[[
register_node_v2: let a node in, or let its newest connection take it over. Its class must be listed (list_class). A
declared node is let in only as its declaration of this moment bounds it.

KEYS[1]  hash  the node
KEYS[2]  hash  its class
KEYS[3]  set   every known node
KEYS[4]  zset  the leases
KEYS[5]  hash  every declaration

ARGV[1]   root           Keys.root
ARGV[2]   sroot          Keys.session_root
ARGV[3]   node_id        the same as in KEYS[1]
ARGV[4]   incarnation    random per connection
ARGV[5]   instance_id    the scheduler that holds the connection
ARGV[6]   pool_id        the same as in KEYS[2]
ARGV[7]   capacity       integer > 0: jobs at once
ARGV[8]   lease_ms       integer > 0
ARGV[9]   digest         of the declaration that class and capacity were bounded by; "": it is not declared
ARGV[10]  offered        what a declared node itself says it can do, or ""
ARGV[11]  reported       ready or registering
ARGV[12]  acks           1: it confirms jobs; 0
ARGV[13]  version
ARGV[14]  document       for people
ARGV[15]  slow_start_ms  how long a node that was not known looks busier than it is; 0: not at all

Returns  {"ok", status, others}  others: who waited and has a slot of it now, rows as assigned_row makes them
         {"unlisted"}            list the class, then come again
         {"redeclared"}          the declaration is another one by now: read it, then come again
         {"lost", rows}          jobs of the incarnation before were ended (100 at most): come again until ok

Clock    Redis TIME
Repeat   safe: the same incarnation only writes the same again.
]]
local c = context(ARGV[1], ARGV[2])
local v = redis.call("HMGET", KEYS[1], "incarnation", "pool_id", "status", "uid")
local found = declaration_read(redis.call("HGET", KEYS[5], ARGV[3]))
if (found and found.digest or "") ~= ARGV[9] then
  return { "redeclared" }
end
if redis.call("HGET", KEYS[2], "listed") ~= "1" then
  return { "unlisted" }
end

if v[1] and v[1] ~= ARGV[4] and redis.call("EXISTS", node_jobs_key(c.root, ARGV[3])) == 1 then
  redis.call("ZREM", pool_nodes_key(c.root, v[2]), ARGV[3])
  node_release(c, ARGV[3], "node_replaced", 100)
  return { "lost", c.lost }
end
local fields = { "incarnation", ARGV[4], "instance_id", ARGV[5], "pool_id", ARGV[6], "capacity", ARGV[7],
  "lease_expires_ms", c.now + ARGV[8], "reported", ARGV[11], "acks", ARGV[12], "version", ARGV[13],
  "document", ARGV[14], "heartbeat_ms", c.now, "registered_ms", c.now }
if found then
  fields[#fields + 1], fields[#fields + 2] = "offered", ARGV[10]
end
if found and (v[4] or "") == "" then
  -- Its status is not in the sums, as it came in by itself, maybe over an older scheduler.
  fields[#fields + 1], fields[#fields + 2] = "status", ""
end
if not v[1] then
  for _, name in ipairs({ "load", "completed", "failed" }) do
    fields[#fields + 1], fields[#fields + 2] = name, 0
  end
  if ARGV[15] ~= "0" then
    fields[#fields + 1], fields[#fields + 2] = "warm_until_ms", c.now + ARGV[15]
  end
end
redis.call("HSET", KEYS[1], unpack(fields))
declaration_apply(KEYS[1], found)
redis.call("PERSIST", KEYS[1])
redis.call("SADD", KEYS[3], ARGV[3])
redis.call("ZADD", KEYS[4], c.now + ARGV[8], ARGV[3])
local was_in = v[3] and v[3] ~= "offline"
if was_in and v[2] ~= ARGV[6] then
  class_leave(c, v[2], ARGV[3])
end
if not was_in or v[2] ~= ARGV[6] then
  class_count(c, ARGV[6], "nodes", 1)
end
local node = node_read(c, ARGV[3])
node_settle(c, node)
serve(c, node)
return { "ok", redis.call("HGET", KEYS[1], "status"), c.assigned }
