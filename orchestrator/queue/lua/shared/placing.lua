-- How tasks are put in order, or aside until due. The scripts that do so begin alike:
-- KEYS     queue (prefix), pending (prefix), scheduled, queues, epoch, tick, control, tasks (prefix), lock (prefix),
--          leases, quota (prefix)
-- ARGV     as of enqueue
local step, now = tonumber(ARGV[1]), now_us()
local epoch = redis.call("HGET", KEYS[5], "epoch") or "0"
local first = math.max(now, tonumber(redis.call("GET", KEYS[6]) or 0) + 1)
local tick, places, fresh = first, {}, {}

local function placed(id, known)
  return redis.call("ZSCORE", named(KEYS[2], known[1]), id) or held_at(KEYS[11], id, known)
end

-- Whether the queue holds the task whose arguments start here, and whether it remembers one that is over. One that is
-- restored and stands nowhere is not held either: Redis threw the order away.
local function keeps(at)
  local id = ARGV[at]
  local task, holder = KEYS[8] .. id, redis.call("GET", KEYS[9] .. id)
  if holder and holder ~= "dropped" then return true, false end
  if redis.call("EXISTS", task) == 0 then return false, false end
  local over = redis.call("HEXISTS", task, "record") == 1
    or ARGV[at + 5] == "1" and not fresh[id] and not redis.call("ZSCORE", KEYS[3], id)
      and not redis.call("ZSCORE", KEYS[10], id)
      and not placed(id, facts(redis.call("HGET", task, "task")))
  return not over, over
end

-- Put in the task whose arguments start here; what is remembered of one that is over goes.
local function put(at, over)
  local id, queue, ready, size = ARGV[at], ARGV[at + 1], ARGV[at + 3], ARGV[at + 6]
  local task, place, status = KEYS[8] .. id, places[queue] or {}, "queued"
  places[queue], fresh[id] = place, true
  if ready == "" then
    ready, tick = tick, tick + 1
  else
    ready = tonumber(ready)
    if ready > now then status = ARGV[at + 4] end
  end
  if over then redis.call("DEL", task) end
  redis.call("HSET", task, "status", status, "epoch", ARGV[at + 5] == "1" and "0" or epoch,
    unpack(ARGV, at + 7, at + 6 + size))
  if status == "queued" then
    place[#place + 1], place[#place + 2] = ready + ARGV[at + 2] * step, id
  else
    redis.call("ZADD", KEYS[3], ready, id)
  end
end

-- Let what was put in be popped.
local function open()
  for queue, place in pairs(places) do
    know(KEYS[4], KEYS[7], queue)
    if place[1] then
      redis.call("ZADD", named(KEYS[1], queue), unpack(place))
      redis.call("ZADD", named(KEYS[2], queue), unpack(place))
    end
  end
  if tick > first then redis.call("SET", KEYS[6], decimal(tick - 1)) end
end
