-- Lease anew, under higher fences, tasks whose lease ran out. A lease without its hash is removed.
-- KEYS     leases, epoch, tasks (prefix), lock (prefix)
-- ARGV     worker, limit, hold_ms
-- RETURNS  {"claimed", now_us, epoch, then for each task {task, payload, crashes, epoch, expires_at, id, fence,
--          attempt, score, expired}} | {"no_epoch"}
local worker, hold, now = ARGV[1], ARGV[3], now_us()
local now_ms = math.floor(now / 1000)
local epoch, fence = read_epoch(KEYS[2], tonumber(ARGV[2]))
if not epoch then return { "no_epoch" } end
local reply = { "claimed", now, epoch }
for _, id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", decimal(now_ms), "LIMIT", 0, ARGV[2])) do
  local task = KEYS[3] .. id
  local row = redis.call("HMGET", task, "task", "payload", "crashes", "epoch", "expires_at", "attempt", "score")
  if row[1] then
    fence = redis.call("HINCRBY", KEYS[2], "counter", 1) + epoch * SPAN
    local lease = worker .. ":" .. decimal(fence)
    redis.call("SET", KEYS[4] .. id, lease, "PX", hold)
    redis.call("HSET", task, "lease", lease)
    redis.call("ZADD", KEYS[1], decimal(now_ms + hold), id)
    local attempt, score = tonumber(row[6]), tonumber(row[7])
    row[6], row[7], row[8], row[9], row[10] = id, fence, attempt, score, 0
    reply[#reply + 1] = row
  else
    redis.call("ZREM", KEYS[1], id)
  end
end
return reply
