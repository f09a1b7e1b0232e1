-- Forget tasks, leases included. A tombstone keeps a worker's next beat from asserting a lease again.
-- KEYS     scheduled, queue (prefix), pending (prefix), leases, control, tasks (prefix), lock (prefix),
--          steps (prefix)
-- ARGV     tombstone_ms, ids
-- RETURNS  {"dropped"}
local leased = {}
for at = 2, #ARGV do
  local id = ARGV[at]
  local task, lock = KEYS[6] .. id, KEYS[7] .. id
  local record, holder = redis.call("HGET", task, "task"), redis.call("GET", lock)
  if record then
    local queue = facts(record)[1]
    redis.call("ZREM", named(KEYS[2], queue), id)
    redis.call("ZREM", named(KEYS[3], queue), id)
    redis.call("ZREM", KEYS[1], id)
  end
  redis.call("UNLINK", task, KEYS[8] .. id)
  if redis.call("ZREM", KEYS[4], id) == 1 or (holder and holder ~= "dropped") then
    redis.call("SET", lock, "dropped", "PX", ARGV[1])
    leased[#leased + 1] = id
  end
end
if leased[1] then redis.call("PUBLISH", KEYS[5], cjson.encode({ drop = leased })) end
return { "dropped" }
