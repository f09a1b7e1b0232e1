-- Become the leader, or stay it.
-- KEYS     leader
-- ARGV     holder, hold_ms
-- RETURNS  {"leads"} | {"follows"}
local leader = redis.call("GET", KEYS[1])
if leader == ARGV[1] then
  redis.call("PEXPIRE", KEYS[1], ARGV[2])
elseif leader then
  return { "follows" }
else
  redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
end
return { "leads" }
