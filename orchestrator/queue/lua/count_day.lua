-- Set what a tenant created today, as Postgres has it, unless it is known here.
-- KEYS     quota (prefix)
-- ARGV     day, tenant, life_ms; then each type and its number
-- RETURNS  {"counted"} | {"known"}
local day, all = KEYS[1] .. ":day:" .. ARGV[1] .. ":" .. ARGV[2], 0
if redis.call("EXISTS", day) == 1 then return { "known" } end
for at = 4, #ARGV, 2 do
  redis.call("HSET", day, ARGV[at], ARGV[at + 1])
  all = all + ARGV[at + 1]
end
redis.call("HSET", day, "", decimal(all))
redis.call("PEXPIRE", day, ARGV[3])
return { "counted" }
