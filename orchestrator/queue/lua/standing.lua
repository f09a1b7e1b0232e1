-- Where one task stands.
-- KEYS     scheduled, pending (prefix), paused, tasks (prefix)
-- ARGV     id
-- RETURNS  {"stands", queue, paused, rank or nil, due_in_us or nil, {status, attempt, lease, progress,
--          ended}} | {"unknown"}
local id, task = ARGV[1], KEYS[4] .. ARGV[1]
local record = redis.call("HGET", task, "task")
if not record then return { "unknown" } end
local queue = facts(record)[1]
local due = redis.call("ZSCORE", KEYS[1], id)
local live = redis.call("HMGET", task, "status", "attempt", "lease", "progress", "ended")
return {
  "stands",
  queue,
  redis.call("SISMEMBER", KEYS[3], queue),
  redis.call("ZRANK", named(KEYS[2], queue), id),
  due and math.max(0, due - now_us()),
  live,
}
