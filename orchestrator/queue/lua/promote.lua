-- Move tasks that are due into their queues, at the place of the moment they were due.
-- KEYS     scheduled, queue (prefix), pending (prefix), queues, control, tasks (prefix)
-- ARGV     step_us, limit
-- RETURNS  {"promoted", ids}
local reply = { "promoted" }
local due = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", decimal(now_us()), "WITHSCORES", "LIMIT", 0, ARGV[2])
for at = 1, #due, 2 do
  local id, task = due[at], KEYS[6] .. due[at]
  local record = redis.call("HGET", task, "task")
  if record then
    local queue, priority = unpack(facts(record), 1, 2)
    local score = due[at + 1] + priority * ARGV[1]
    redis.call("HSET", task, "status", "queued")
    redis.call("ZADD", named(KEYS[2], queue), score, id)
    redis.call("ZADD", named(KEYS[3], queue), score, id)
    know(KEYS[4], KEYS[5], queue)
    reply[#reply + 1] = id
  end
  redis.call("ZREM", KEYS[1], id)
end
return reply
