-- Which of these tasks the queue does not hold: no hash and no lock, or a hash that stands nowhere, because Redis threw
-- the order away. A tombstone counts as held, and so does what is over.
-- WITH     holding
-- KEYS     pending (prefix), scheduled, leases, tasks (prefix), lock (prefix), quota (prefix)
-- ARGV     ids
-- RETURNS  {"missing", ids}
local reply = { "missing" }
for _, id in ipairs(ARGV) do
  local task = KEYS[4] .. id
  local row = redis.call("HMGET", task, "task", "record")
  local held = redis.call("EXISTS", KEYS[5] .. id) == 1
    or row[2]
    or row[1] and (redis.call("ZSCORE", named(KEYS[1], facts(row[1])[1]), id)
      or redis.call("ZSCORE", KEYS[2], id)
      or redis.call("ZSCORE", KEYS[3], id)
      or held_at(KEYS[6], id, facts(row[1])))
  if not held then reply[#reply + 1] = id end
end
return reply
