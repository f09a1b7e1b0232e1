-- Every known queue at a glance. Looks at each lease once, to see which queue it is of.
-- WITH     holding
-- KEYS     queues, paused, leases, pending (prefix), tasks (prefix), quota (prefix)
-- ARGV     step_us
-- RETURNS  {"queues", then for each {name, depth, oldest_us, running, paused, held}}
local now, running, reply = now_us(), {}, { "queues" }
for _, id in ipairs(redis.call("ZRANGE", KEYS[3], 0, -1)) do
  local record = redis.call("HGET", KEYS[5] .. id, "task")
  local queue = record and (string.match(record, '^%["([^"\\]*)"') or facts(record)[1])
  if queue then running[queue] = (running[queue] or 0) + 1 end
end
local held = {}
for _, owner in ipairs(redis.call("SMEMBERS", KEYS[6] .. ":holders")) do
  for _, queue in ipairs(redis.call("SMEMBERS", KEYS[6] .. ":holding:" .. owner)) do
    held[queue] = (held[queue] or 0) + redis.call("ZCARD", held_key(KEYS[6], owner, queue))
  end
end
for _, queue in ipairs(redis.call("SUNION", KEYS[1], KEYS[2])) do
  local pending, oldest = named(KEYS[4], queue), 0
  local head = redis.call("ZRANGE", pending, 0, 0, "WITHSCORES")
  local record = head[1] and redis.call("HGET", KEYS[5] .. head[1], "task")
  if record then oldest = math.max(0, now - (head[2] - facts(record)[2] * ARGV[1])) end
  local paused = redis.call("SISMEMBER", KEYS[2], queue)
  reply[#reply + 1] = { queue, redis.call("ZCARD", pending), oldest, running[queue] or 0, paused, held[queue] or 0 }
end
return reply
