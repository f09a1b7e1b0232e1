-- Give back the places of tasks that came to nothing.
-- WITH     counting
-- KEYS     quota (prefix)
-- ARGV     day; then for each task: id, tenant, type, 1 if it was counted for the day or 0
-- RETURNS  {"given_back"}
local ids = {}
for at = 2, #ARGV, 4 do
  local day = KEYS[1] .. ":day:" .. ARGV[1] .. ":" .. ARGV[at + 1]
  ids[#ids + 1] = ARGV[at]
  if ARGV[at + 3] == "1" and redis.call("EXISTS", day) == 1 then
    redis.call("HINCRBY", day, "", -1)
    redis.call("HINCRBY", day, ARGV[at + 2], -1)
  end
end
strike(KEYS[1] .. ":waiting", ids)
return { "given_back" }
