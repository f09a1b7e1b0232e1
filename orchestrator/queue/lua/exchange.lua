-- Put another form of the same value in the place of what is stored; what was changed since is left as it is.
-- KEYS     tasks (prefix), steps (prefix)
-- ARGV     for each value: id, name of the step or "" for the payload, what is stored, what is to be
-- RETURNS  {"exchanged", 1 or 0 for each}
local reply = { "exchanged" }
for at = 1, #ARGV, 4 do
  local key, field = KEYS[1] .. ARGV[at], "payload"
  if ARGV[at + 1] ~= "" then
    key, field = KEYS[2] .. ARGV[at], ARGV[at + 1]
  end
  local same = redis.call("HGET", key, field) == ARGV[at + 2]
  if same then redis.call("HSET", key, field, ARGV[at + 3]) end
  reply[#reply + 1] = same and 1 or 0
end
return reply
