-- End leases that are still the worker's: forget final tasks, put the others aside or back in order; count.
-- KEYS     leases, scheduled, queue (prefix), pending (prefix), queues, epoch, control, tasks (prefix),
--          lock (prefix), live (prefix), counters (prefix)
-- ARGV     worker, number of tasks; for each: id, fence, status, attempt, n; then for each that lives on (n > 0):
--          queue, delay_us or "", score, n fields and values of its hash; then for each count: family, field, by
-- RETURNS  {"settled", 1 or 0 for each task}
local worker, last = ARGV[1], 2 + 5 * ARGV[2]
local now, epoch, locks, channels = now_us(), read_epoch(KEYS[6], 0), {}, {}
for head = 3, last, 5 do
  locks[#locks + 1], channels[#channels + 1] = KEYS[9] .. ARGV[head], KEYS[10] .. ARGV[head]
end
local holders = locks[1] and redis.call("MGET", unpack(locks))
local heard = listeners(channels)

local ended, gone, reply, known, at = {}, {}, { "settled" }, {}, last + 1
local function keep(id, task, status, size)
  local queue, delay, score = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  redis.call("HSET", task, "status", status, "epoch", epoch or "0", unpack(ARGV, at + 3, at + 2 + size))
  if delay ~= "" then
    redis.call("ZADD", KEYS[2], now + delay, id)
  else
    redis.call("ZADD", named(KEYS[3], queue), score, id)
    redis.call("ZADD", named(KEYS[4], queue), score, id)
  end
  if not known[queue] then know(KEYS[5], KEYS[7], queue) end
  known[queue] = true
end

for nth, lock in ipairs(locks) do
  local head = 5 * nth - 2
  local id, fence, status, size = ARGV[head], ARGV[head + 1], ARGV[head + 2], ARGV[head + 4]
  local task = KEYS[8] .. id
  local mine = holds(holders[nth], task, worker .. ":" .. fence, fence, epoch)
  if mine and size == "0" then
    gone[#gone + 1], gone[#gone + 2] = task, lock
  elseif mine then
    redis.call("DEL", task, lock)
    keep(id, task, status, size)
  end
  if mine then
    ended[#ended + 1] = id
    if heard[2 * nth] > 0 then tell(channels[nth], fence, 999997, status, ARGV[head + 3], now) end
  end
  reply[nth + 1] = mine and 1 or 0
  if size ~= "0" then at = at + 3 + size end
end
if gone[1] then redis.call("UNLINK", unpack(gone)) end
if ended[1] then redis.call("ZREM", KEYS[1], unpack(ended)) end

-- Last, because Redis with its memory full refuses a script that starts with a write that is not a removal.
for count = at, #ARGV, 3 do
  redis.call("HINCRBYFLOAT", KEYS[11] .. ARGV[count], ARGV[count + 1], ARGV[count + 2])
end
return reply
