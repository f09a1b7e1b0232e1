-- End leases that are still the worker's: forget final tasks, put the others aside or back in order; count.
-- KEYS     leases, scheduled, queue (prefix), pending (prefix), queues, epoch, control, tasks (prefix),
--          lock (prefix), live (prefix), counters (prefix)
-- ARGV     worker, number of counts; for each: family, field, by; then for each task: id, fence, status, attempt,
--          n, and if it lives on (n > 0): queue, delay_us or "", score, n fields and values of its hash
-- RETURNS  {"settled", 1 or 0 for each task}
local worker, now, at = ARGV[1], now_us(), 3
for _ = 1, ARGV[2] do
  redis.call("HINCRBYFLOAT", KEYS[11] .. ARGV[at], ARGV[at + 1], ARGV[at + 2])
  at = at + 3
end

local epoch, ended, gone, reply, known = read_epoch(KEYS[6], 0), {}, {}, { "settled" }, {}
while ARGV[at] do
  local id, fence, status, size = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 4])
  local task, lock = KEYS[8] .. id, KEYS[9] .. id
  local mine = holds(lock, task, worker .. ":" .. fence, fence, epoch)
  if mine and size == 0 then
    gone[#gone + 1], gone[#gone + 2] = task, lock
  elseif mine then
    local queue, delay, score = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
    redis.call("DEL", task, lock)
    redis.call("HSET", task, "status", status, "epoch", epoch or "0", unpack(ARGV, at + 8, at + 7 + size))
    if delay ~= "" then
      redis.call("ZADD", KEYS[2], now + delay, id)
    else
      redis.call("ZADD", named(KEYS[3], queue), score, id)
      redis.call("ZADD", named(KEYS[4], queue), score, id)
    end
    if not known[queue] then
      know(KEYS[5], KEYS[7], queue)
      known[queue] = true
    end
  end
  if mine then
    ended[#ended + 1] = id
    tell(KEYS[10] .. id, fence, 999997, status, ARGV[at + 3])
  end
  reply[#reply + 1] = mine and 1 or 0
  at = at + 5 + (size > 0 and size + 3 or 0)
end
if gone[1] then redis.call("UNLINK", unpack(gone)) end
if ended[1] then redis.call("ZREM", KEYS[1], unpack(ended)) end
return reply
