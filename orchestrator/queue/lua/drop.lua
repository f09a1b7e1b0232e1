-- Forget tasks, leases included. A tombstone keeps a worker's next beat from asserting a lease again.
-- WITH     counting, holding, ceilings
-- KEYS     scheduled, queue (prefix), pending (prefix), leases, control, tasks (prefix), lock (prefix),
--          steps (prefix), quota (prefix)
-- ARGV     tombstone_ms, ids
-- RETURNS  {"dropped"}
local leased = {}
for at = 2, #ARGV do
  local id = ARGV[at]
  local task, lock = KEYS[6] .. id, KEYS[7] .. id
  local record, holder = redis.call("HGET", task, "task"), redis.call("GET", lock)
  if record then
    local known = facts(record)
    local queue, held = known[1], held_at(KEYS[9], id, known)
    redis.call("ZREM", named(KEYS[2], queue), id)
    -- It may have been let come for one that ended: the next comes in its stead.
    if redis.call("ZREM", named(KEYS[3], queue), id) == 1 then
      release(KEYS[9], known[3], KEYS[2], KEYS[3])
      release(KEYS[9], known[3] .. "\0" .. known[4], KEYS[2], KEYS[3])
    end
    redis.call("ZREM", KEYS[1], id)
    if held then redis.call("ZREM", held_key(KEYS[9], held[2], queue), id) end
  end
  redis.call("UNLINK", task, KEYS[8] .. id)
  if redis.call("ZREM", KEYS[4], id) == 1 or (holder and holder ~= "dropped") then
    redis.call("SET", lock, "dropped", "PX", ARGV[1])
    leased[#leased + 1] = id
  end
end
leave(KEYS[9], { unpack(ARGV, 2) }, KEYS[2], KEYS[3])
if leased[1] then redis.call("PUBLISH", KEYS[5], cjson.encode({ drop = leased })) end
return { "dropped" }
