-- Count in what waits of a tenant, as Postgres has it; with the last page of it the count is known.
-- WITH     counting
-- KEYS     quota (prefix)
-- ARGV     tenant, 1 for the last page or 0; then each id and its type
-- RETURNS  {"counted"}
for at = 3, #ARGV, 2 do enrol(KEYS[1] .. ":waiting", ARGV[at], ARGV[1], ARGV[at + 1]) end
if ARGV[2] == "1" then redis.call("SADD", KEYS[1] .. ":known", ARGV[1]) end
return { "counted" }
