-- Become the leader, or stay it.
-- KEYS     leader
-- ARGV     holder, hold_ms
-- RETURNS  {"leads"} | {"follows"}
local leader = redis.call("GET", KEYS[1])
if leader and leader ~= ARGV[1] then return { "follows" } end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return { "leads" }
