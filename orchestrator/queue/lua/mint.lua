-- Make one fresh fence.
-- KEYS     epoch
-- ARGV     none
-- RETURNS  {"minted", fence} | {"no_epoch"}
local epoch, fence = read_epoch(KEYS[1], 1)
if not epoch then return { "no_epoch" } end
redis.call("HINCRBY", KEYS[1], "counter", 1)
return { "minted", fence + 1 }
