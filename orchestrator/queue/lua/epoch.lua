-- The open epoch, if it was opened on this server and has fences left.
-- KEYS     epoch
-- ARGV     none
-- RETURNS  {"open", epoch} | {"no_epoch"}
local epoch = read_epoch(KEYS[1], 1)
if not epoch then return { "no_epoch" } end
return { "open", tonumber(epoch) }
