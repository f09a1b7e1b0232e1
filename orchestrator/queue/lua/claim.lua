-- Lease a popped task, if still nobody holds it, and the next ones of its queue, each under a fresh fence.
-- Sent behind a pop, "*" means what that took: leased where it is the one task that was popped and not leased.
-- What may not be leased because its tenant runs its number is held, and the next ones are looked at.
-- Those of one claim start a microsecond apart, so that their times show the order too.
-- WITH     counting, holding, ceilings, popping
-- KEYS     queue (prefix), pending (prefix), leases, epoch, paused, tasks (prefix), lock (prefix), live (prefix),
--          quota (prefix)
-- ARGV     worker, limit, hold_ms, popped id or "" or "*", queue name; behind "*" every queue that was popped from
-- RETURNS  {"claimed", now_us, epoch, then for each task {task, payload, crashes, epoch, id, fence, attempt,
--          score}} | {"paused"} | {"no_epoch"}
local worker, limit, hold, popped, name = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
if popped == "*" then
  name, popped = find_popped(KEYS[1], KEYS[2], unpack(ARGV, 5))
  if not popped then return { "claimed", now_us(), "0" } end
end
local queue, pending = named(KEYS[1], name), named(KEYS[2], name)
local score = popped ~= "" and redis.call("ZSCORE", pending, popped)
local function refuse(word)
  if score then redis.call("ZADD", queue, score, popped) end
  return { word }
end
if redis.call("SISMEMBER", KEYS[5], name) == 1 then return refuse("paused") end
local epoch, fence = read_epoch(KEYS[4], limit)
if not epoch then return refuse("no_epoch") end

-- Taking comes before writing: with its memory full Redis refuses a script that starts with a write, and only
-- claiming and settling make room.
local ids, scores, channels = {}, {}, {}
local limited = redis.call("EXISTS", KEYS[9] .. ":ceilings") == 1
local function take(id, place)
  local record = limited and redis.call("HGET", KEYS[6] .. id, "task")
  if record and not seat(KEYS[9], epoch, id, place, facts(record), queue, pending) then return end
  ids[#ids + 1], scores[#scores + 1], channels[#channels + 1] = id, place, KEYS[8] .. id
end
if score then
  redis.call("ZREM", queue, popped)
  take(popped, score)
end
local looked = 0
while #ids < limit and looked < 1000 do
  local rest = redis.call("ZPOPMIN", queue, limited and 1 or limit - #ids)
  for at = 1, #rest, 2 do take(rest[at], rest[at + 1]) end
  looked = (limited and rest[1]) and looked + #rest / 2 or math.huge
end
if #ids == 0 then return { "claimed", now_us(), epoch } end

local now, heard = now_us(), listeners(channels)
local deadline = decimal(math.floor(now / 1000) + hold)
local reply, leases = { "claimed", now, epoch }, {}
for at, id in ipairs(ids) do
  local task = KEYS[6] .. id
  local row = redis.call("HMGET", task, "task", "payload", "crashes", "epoch", "attempt")
  if row[1] then
    fence = fence + 1
    local number, attempt = decimal(fence), (row[5] or 0) + 1
    local lease, started = worker .. ":" .. number, now + #reply - 3
    redis.call("SET", KEYS[7] .. id, lease, "PX", hold)
    redis.call("HSET", task, "status", "running", "attempt", attempt, "lease",
      lease .. " " .. decimal(started) .. " " .. scores[at])
    if heard[2 * at] > 0 and not (attempt == 1 and expires(row[1]) <= now) then
      tell(channels[at], number, 0, "running", attempt, started)
    end
    leases[#leases + 1], leases[#leases + 2] = deadline, id
    row[5], row[6], row[7], row[8] = id, fence, attempt, tonumber(scores[at])
    reply[#reply + 1] = row
  end
end
redis.call("ZREM", pending, unpack(ids))
strike(KEYS[9] .. ":waiting", ids)
if leases[1] then
  redis.call("HINCRBY", KEYS[4], "counter", #leases / 2)
  redis.call("ZADD", KEYS[3], unpack(leases))
end
return reply
