-- Open an epoch on this server, if it is higher than the last one.
-- KEYS     epoch
-- ARGV     epoch
-- RETURNS  {"opened"} | {"refused"}
if tonumber(ARGV[1]) <= tonumber(redis.call("HGET", KEYS[1], "epoch") or 0) then return { "refused" } end
redis.call("HSET", KEYS[1], "epoch", ARGV[1], "counter", 0, "server", server())
return { "opened" }
