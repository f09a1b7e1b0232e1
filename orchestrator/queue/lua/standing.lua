-- Where one task stands.
-- WITH     holding
-- KEYS     scheduled, pending (prefix), paused, tasks (prefix), quota (prefix)
-- ARGV     id
-- RETURNS  {"stands", queue, paused, rank or nil, due_in_us or nil, {status, attempt, lease, progress,
--          ended}, owner whose number is why it is held or nil} | {"unknown"}
local id, task = ARGV[1], KEYS[4] .. ARGV[1]
local record = redis.call("HGET", task, "task")
if not record then return { "unknown" } end
local known = facts(record)
local queue, held = known[1], held_at(KEYS[5], id, known)
local due = redis.call("ZSCORE", KEYS[1], id)
local live = redis.call("HMGET", task, "status", "attempt", "lease", "progress", "ended")
return {
  "stands",
  queue,
  redis.call("SISMEMBER", KEYS[3], queue),
  redis.call("ZRANK", named(KEYS[2], queue), id),
  due and math.max(0, due - now_us()),
  live,
  held and held[2] or false,
}
