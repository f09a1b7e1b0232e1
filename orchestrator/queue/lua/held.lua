-- All that is known of one task, with the records of it that Postgres does not have yet.
-- WITH     holding
-- KEYS     scheduled, pending (prefix), tasks (prefix), outbox, quota (prefix)
-- ARGV     id
-- RETURNS  {"held", due_at_us or nil, score or nil, record of its insert or nil, record of its end or nil, {task,
--          payload, crashes, status, attempt, lease, progress, ended}} | {"unknown"}
local id, task = ARGV[1], KEYS[3] .. ARGV[1]
local row = redis.call("HMGET", task, "task", "payload", "crashes", "status", "attempt", "lease", "progress", "ended")
if not row[1] then return { "unknown" } end
local places = redis.call("HMGET", task, "asked", "record")
local function owed(place)
  local found = place and redis.call("XRANGE", KEYS[4], place, place)[1]
  return found and found[2][10]
end
local known = facts(row[1])
local due, score = redis.call("ZSCORE", KEYS[1], id), redis.call("ZSCORE", named(KEYS[2], known[1]), id)
local kept_back = not score and held_at(KEYS[5], id, known)
score = kept_back and kept_back[1] or score
return { "held", due, score, owed(places[1]) or false, owed(places[2]) or false, row }
