-- Remember keys before their tasks are written to Postgres, so that nobody accepts another task for one meanwhile.
-- WITH     keyhold
-- KEYS     tasks (prefix), key (prefix)
-- ARGV     for each task: id, name of its key, `{id} {fingerprint} {u|f}`, hold_ms
-- RETURNS  {"reserved", for each 1, or the hold of a task that Postgres does not have yet}
local reply = { "reserved" }
for at = 1, #ARGV, 4 do
  local key = KEYS[2] .. ARGV[at + 1]
  local state, hold = holding(key, ARGV[at], KEYS[1])
  if state == "free" then redis.call("SET", key, ARGV[at + 2] .. " r", "PX", ARGV[at + 3]) end
  reply[#reply + 1] = state == "owed" and hold or 1
end
return reply
