-- Lease anew, under higher fences, tasks whose lease ran out. A lease that the task's hash knows
-- nothing of (the queue was emptied) is removed, and its id handed back to be restored from Postgres.
-- WITH     counting, holding, ceilings
-- KEYS     leases, epoch, tasks (prefix), lock (prefix), quota (prefix), queue (prefix), pending (prefix)
-- ARGV     worker, limit, hold_ms
-- RETURNS  {"claimed", now_us, epoch, then for each task {task, payload, crashes, epoch, id, fence, attempt,
--          score, fence of the run that was lost}, or the bare id of a removed lease} | {"no_epoch"}
local worker, hold, now = ARGV[1], ARGV[3], now_us()
local now_ms = math.floor(now / 1000)
local epoch, fence = read_epoch(KEYS[2], tonumber(ARGV[2]))
if not epoch then return { "no_epoch" } end
local reply = { "claimed", now, epoch }
for _, id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", decimal(now_ms), "LIMIT", 0, ARGV[2])) do
  local task = KEYS[3] .. id
  local row = redis.call("HMGET", task, "task", "payload", "crashes", "epoch", "attempt", "lease")
  redis.call("ZREM", KEYS[1], id)
  if row[6] then
    fence = fence + 1
    redis.call("HINCRBY", KEYS[2], "counter", 1)
    local lease = worker .. ":" .. decimal(fence)
    redis.call("SET", KEYS[4] .. id, lease, "PX", hold)
    local held, started, score = string.match(row[6], ":(%d+) (%d+) (%d+)$")
    -- A lease that was itself a take-over leaves the first one's run to be settled.
    redis.call("HSETNX", task, "lost", held)
    redis.call("HSET", task, "lease", lease .. " " .. started .. " " .. score)
    redis.call("ZADD", KEYS[1], decimal(now_ms + hold), id)
    local lost = tonumber(redis.call("HGET", task, "lost"))
    row[5], row[6], row[7], row[8], row[9] = id, fence, tonumber(row[5]), tonumber(score), lost
    reply[#reply + 1] = row
  else
    leave(KEYS[5], { id }, KEYS[6], KEYS[7])
    reply[#reply + 1] = id
  end
end
return reply
