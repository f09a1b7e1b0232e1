-- Put tasks in order, or aside until due. A task that the queue holds already is left alone.
-- KEYS     queue (prefix), pending (prefix), scheduled, queues, epoch, tick, control, tasks (prefix), lock (prefix)
-- ARGV     step_us; then for each task: id, queue, priority, ready_at_us or "", status while delayed, 1 if it was
--          restored (it counts to no epoch then) or 0, n, n fields and values of its hash
-- RETURNS  {"enqueued", 1 or 0 for each task}
local step, now = tonumber(ARGV[1]), now_us()
local epoch = redis.call("HGET", KEYS[5], "epoch") or "0"
local first = math.max(now, tonumber(redis.call("GET", KEYS[6]) or 0) + 1)
local tick, places, reply, at = first, {}, { "enqueued" }, 2

while ARGV[at] do
  local id, queue, ready, size = ARGV[at], ARGV[at + 1], ARGV[at + 3], ARGV[at + 6]
  local task, holder = KEYS[8] .. id, redis.call("GET", KEYS[9] .. id)
  if redis.call("EXISTS", task) == 1 or (holder and holder ~= "dropped") then
    reply[#reply + 1] = 0
  else
    local place, status = places[queue] or {}, "queued"
    places[queue] = place
    if ready == "" then
      ready, tick = tick, tick + 1
    else
      ready = tonumber(ready)
      if ready > now then status = ARGV[at + 4] end
    end
    redis.call("HSET", task, "status", status, "epoch", ARGV[at + 5] == "1" and "0" or epoch,
      unpack(ARGV, at + 7, at + 6 + size))
    if status == "queued" then
      place[#place + 1], place[#place + 2] = ready + ARGV[at + 2] * step, id
    else
      redis.call("ZADD", KEYS[3], ready, id)
    end
    reply[#reply + 1] = 1
  end
  at = at + 7 + size
end

for queue, place in pairs(places) do
  know(KEYS[4], KEYS[7], queue)
  if place[1] then
    redis.call("ZADD", named(KEYS[1], queue), unpack(place))
    redis.call("ZADD", named(KEYS[2], queue), unpack(place))
  end
end
if tick > first then redis.call("SET", KEYS[6], decimal(tick - 1)) end
return reply
