-- Remove records that Postgres has, and what was remembered until then: tasks that are over, and that a key's holder
-- was not stored.
-- KEYS     outbox, tasks (prefix), steps (prefix), key (prefix)
-- ARGV     for each record: place, kind, id, fence, name of the key or ""
-- RETURNS  {"applied"}
local places = {}
for at = 1, #ARGV, 5 do places[#places + 1] = ARGV[at] end
if places[1] then redis.call("XDEL", KEYS[1], unpack(places)) end
for at = 1, #ARGV, 5 do
  local kind, id, fence, task = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], KEYS[2] .. ARGV[at + 2]
  if kind == "settle" and redis.call("HGET", task, "ended") == fence and redis.call("HEXISTS", task, "record") == 1 then
    redis.call("UNLINK", task, KEYS[3] .. id)
  elseif kind == "insert" and ARGV[at + 4] ~= "" then
    local key = KEYS[4] .. ARGV[at + 4]
    local hold = redis.call("GET", key)
    if hold and string.sub(hold, 1, #id + 1) == id .. " " then
      redis.call("SET", key, string.sub(hold, 1, -2) .. "p", "KEEPTTL")
    end
  end
end
return { "applied" }
