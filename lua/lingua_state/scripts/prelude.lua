--[[
prelude: what several scripts share. The loader puts the functions that a script mentions in front of it, and no other,
since every call pays for every function. One function: from "local function" to "end" in the first column.

The key functions mirror keys.py and are the only place where Lua makes a name. `root` and `sroot` are Keys.root and
Keys.session_root; `pair` is a pair's name with its scope: `en:es`, `en:es@tenant`.
]]

local function now_ms()
  local time = redis.call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function pool_key(root, pair)
  return root .. "pool:" .. pair
end

local function pool_nodes_key(root, pool_id)
  return root .. "pool:" .. pool_id .. ":nodes"
end

local function pool_def_key(root, pool_id)
  return root .. "pool:" .. pool_id .. ":def"
end

local function pools_all_key(root)
  return root .. "pools:all"
end

local function node_key(root, node_id)
  return root .. "node:" .. node_id
end

local function node_jobs_key(root, node_id)
  return root .. "node:" .. node_id .. ":jobs"
end

local function node_waiting_key(root, node_id)
  return root .. "node:" .. node_id .. ":waiting"
end

local function nodes_all_key(root)
  return root .. "nodes:all"
end

local function nodes_lease_key(root)
  return root .. "nodes:lease"
end

local function nodes_declared_sums_key(root)
  return root .. "nodes:declared:sums"
end

local function notices_key(root)
  return root .. "notices"
end

local function job_key(root, job_id)
  return root .. "job:" .. job_id
end

local function jobs_deadline_key(root)
  return root .. "jobs:deadline"
end

local function jobs_key(root, status)
  return root .. "jobs:" .. status
end

local function waiting_pairs_key(root)
  return root .. "waiting"
end

local function waiting_key(root, pair)
  return root .. "waiting:" .. pair
end

local function waiting_names_key(root)
  return root .. "waits"
end

local function waiting_for_key(root, name)
  return root .. "waits:" .. name
end

local function pool_names_key(root, pool_id)
  return root .. "pool:" .. pool_id .. ":names"
end

local function session_key(sroot, session_id)
  return sroot .. session_id
end

local function instance_key(root, instance_id)
  return root .. "instance:" .. instance_id
end
