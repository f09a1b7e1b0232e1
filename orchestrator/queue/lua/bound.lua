-- Set all ceilings there are. While an owner's leases are not counted yet, nothing of it is leased: see recount.
-- KEYS     quota (prefix)
-- ARGV     each owner and how many of its tasks may run
-- RETURNS  {"bound", 1 if owners came to it or 0}
local ceilings, wanted, anew = KEYS[1] .. ":ceilings", {}, 0
for at = 1, #ARGV, 2 do
  wanted[ARGV[at]] = true
  if redis.call("HEXISTS", ceilings, ARGV[at]) == 0 then anew = 1 end
  redis.call("HSET", ceilings, ARGV[at], ARGV[at + 1])
end
for _, owner in ipairs(redis.call("HKEYS", ceilings)) do
  if not wanted[owner] and (owner ~= "" or not ARGV[1]) then redis.call("HDEL", ceilings, owner) end
end
if anew == 1 then redis.call("HDEL", ceilings, "") end
return { "bound", anew }
