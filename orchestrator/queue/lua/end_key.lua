-- End an API key at a moment, unless it ends before that already.
-- KEYS     ended keys, owed keys
-- ARGV     id, at_us (0 for a revoked one), when it was revoked in µs if Postgres has yet to hear of it or ""
-- RETURNS  {"ended"}
local id = ARGV[1]
local before = redis.call("HGET", KEYS[1], id)
if not before or tonumber(ARGV[2]) < tonumber(before) then redis.call("HSET", KEYS[1], id, ARGV[2]) end
-- A repeat writes too: only behind a write of its own does WAITAOF wait for what it found.
if ARGV[3] ~= "" then redis.call("HSET", KEYS[2], id, redis.call("HGET", KEYS[2], id) or ARGV[3]) end
return { "ended" }
