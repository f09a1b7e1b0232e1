-- End leases that are still the worker's: forget final tasks, put the others aside or back in order; count. With
-- records for the outbox, a final task is remembered until Postgres has its record.
-- WITH     counting, holding, ceilings
-- KEYS     leases, scheduled, queue (prefix), pending (prefix), queues, epoch, control, tasks (prefix),
--          lock (prefix), live (prefix), counters (prefix), outbox, steps (prefix), quota (prefix)
-- ARGV     worker, number of tasks, number of records (one for each task, or none); for each task: id, fence, status,
--          attempt, n; each record; for each task that is kept (n > 0): queue, delay_us or "" for now or "over", score,
--          n fields and values of its hash; then for each count: family, field, by
-- RETURNS  {"settled", place of the last record or "", 1 or 0 for each task}
local worker, last, owed = ARGV[1], 3 + 5 * ARGV[2], tonumber(ARGV[3]) > 0
local now, epoch, locks, channels = now_us(), read_epoch(KEYS[6], 0), {}, {}
for head = 4, last, 5 do
  locks[#locks + 1], channels[#channels + 1] = KEYS[9] .. ARGV[head], KEYS[10] .. ARGV[head]
end
local holders = locks[1] and redis.call("MGET", unpack(locks))
local heard = listeners(channels)
-- Results of steps are only kept beside an outbox, and most systems never have one.
local used = redis.call("EXISTS", KEYS[12]) == 1

local ended, gone, reply, known, at = {}, {}, { "settled", "" }, {}, last + 1 + ARGV[3]
local function keep(id, task, lock, fence, status, size, record)
  local queue, delay, score = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local asked = record and redis.call("HGET", task, "asked")
  redis.call("DEL", task, lock)
  redis.call("HSET", task, "status", status, "epoch", epoch or "0", unpack(ARGV, at + 3, at + 2 + size))
  if record then
    reply[2] = owe(KEYS[12], "settle", id, fence, "", record)
    redis.call("HSET", task, "ended", fence)
    if asked then redis.call("HSET", task, "asked", asked) end
  end
  if delay == "over" then
    redis.call("HSET", task, "record", reply[2])
    return
  elseif delay ~= "" then
    redis.call("ZADD", KEYS[2], now + delay, id)
  else
    redis.call("ZADD", named(KEYS[3], queue), score, id)
    redis.call("ZADD", named(KEYS[4], queue), score, id)
  end
  if not known[queue] then know(KEYS[5], KEYS[7], queue) end
  known[queue] = true
end

for nth, lock in ipairs(locks) do
  local head, record = 5 * nth - 1, owed and ARGV[last + nth]
  local id, fence, status, size = ARGV[head], ARGV[head + 1], ARGV[head + 2], ARGV[head + 4]
  local task = KEYS[8] .. id
  local mine = holds(holders[nth], task, worker .. ":" .. fence, fence, epoch)
  if mine and size == "0" then
    gone[#gone + 1], gone[#gone + 2] = task, lock
    if used then gone[#gone + 1] = KEYS[13] .. id end
  elseif mine then
    keep(id, task, lock, fence, status, size, record)
  end
  if mine then
    ended[#ended + 1] = id
    if heard[2 * nth] > 0 then tell(channels[nth], fence, 999997, status, ARGV[head + 3], now) end
  end
  -- Settled into the outbox before: the answer was lost.
  mine = mine or (record and redis.call("HGET", task, "ended") == fence)
  reply[nth + 2] = mine and 1 or 0
  if size ~= "0" then at = at + 3 + size end
end
if gone[1] then redis.call("UNLINK", unpack(gone)) end
if ended[1] then redis.call("ZREM", KEYS[1], unpack(ended)) end
leave(KEYS[14], ended, KEYS[3], KEYS[4])

-- Last, because Redis with its memory full refuses a script that starts with a write that is not a removal.
for count = at, #ARGV, 3 do
  redis.call("HINCRBYFLOAT", KEYS[11] .. ARGV[count], ARGV[count + 1], ARGV[count + 2])
end
return reply
