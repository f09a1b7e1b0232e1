-- Lease a popped task, if still nobody holds it, and the next ones of its queue, each under a fresh fence.
-- KEYS     queue, pending, leases, epoch, paused, tasks (prefix), lock (prefix), live (prefix)
-- ARGV     queue name, worker, limit, hold_ms, popped id or ""
-- RETURNS  {"claimed", now_us, epoch, then for each task {task, payload, crashes, epoch, expires_at, id, fence,
--          attempt, score, expired}} | {"paused"} | {"no_epoch"}
local worker, limit, hold, popped = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local score = popped ~= "" and redis.call("ZSCORE", KEYS[2], popped)
local function refuse(word)
  if score then redis.call("ZADD", KEYS[1], score, popped) end
  return { word }
end
if redis.call("SISMEMBER", KEYS[5], ARGV[1]) == 1 then return refuse("paused") end
local epoch, fence = read_epoch(KEYS[4], limit)
if not epoch then return refuse("no_epoch") end

-- Taking comes before writing: with its memory full Redis refuses a script that starts with a write, and only
-- claiming and settling make room.
local taken = {}
if score then
  redis.call("ZREM", KEYS[1], popped)
  taken, limit = { popped, score }, limit - 1
end
local next_ones = limit > 0 and redis.call("ZPOPMIN", KEYS[1], limit) or {}
for at = 1, #next_ones do taken[#taken + 1] = next_ones[at] end

local now = now_us()
local started, deadline = decimal(now), decimal(math.floor(now / 1000) + hold)
local reply, ids, leases = { "claimed", now, epoch }, {}, {}
for at = 1, #taken, 2 do
  local id = taken[at]
  local task = KEYS[6] .. id
  local row = redis.call("HMGET", task, "task", "payload", "crashes", "epoch", "expires_at", "attempt")
  ids[#ids + 1] = id
  if row[1] then
    fence = fence + 1
    local number, attempt = decimal(fence), (row[6] or 0) + 1
    local expired = attempt == 1 and row[5] and tonumber(row[5]) <= now
    local lease = worker .. ":" .. number
    redis.call("SET", KEYS[7] .. id, lease, "PX", hold)
    redis.call("HSET", task, "status", "running", "attempt", attempt, "lease", lease, "started_at", started,
      "score", taken[at + 1])
    if not expired then tell(KEYS[8] .. id, number, 0, "running", attempt) end
    leases[#leases + 1], leases[#leases + 2] = deadline, id
    row[6], row[7], row[8], row[9], row[10] = id, fence, attempt, tonumber(taken[at + 1]), expired and 1 or 0
    reply[#reply + 1] = row
  end
end
if leases[1] then
  redis.call("HINCRBY", KEYS[4], "counter", #leases / 2)
  redis.call("ZADD", KEYS[3], unpack(leases))
end
if ids[1] then redis.call("ZREM", KEYS[2], unpack(ids)) end
return reply
