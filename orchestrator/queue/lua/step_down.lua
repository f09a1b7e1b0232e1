-- Stop being the leader, so that another need not wait.
-- KEYS     leader
-- ARGV     holder
-- RETURNS  {"stepped_down"} | {"follows"}
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return { "follows" } end
redis.call("DEL", KEYS[1])
return { "stepped_down" }
