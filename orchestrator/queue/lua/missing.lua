-- Which of these tasks the queue does not hold: no hash, no lock. A tombstone counts as held.
-- KEYS     tasks (prefix), lock (prefix)
-- ARGV     ids
-- RETURNS  {"missing", ids}
local reply = { "missing" }
for _, id in ipairs(ARGV) do
  if redis.call("EXISTS", KEYS[1] .. id, KEYS[2] .. id) == 0 then reply[#reply + 1] = id end
end
return reply
