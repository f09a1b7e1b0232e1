-- Who holds an idempotency key. Its value is `{id} {fingerprint} {u: until it is final | f: for a time}
-- {p: in Postgres | o: only in the outbox so far | r: reserved, and on its way to Postgres}`.

-- "free", "mine", or for another task that has not given it up "stored" or "owed", and what its hold says.
local function holding(key, id, tasks)
  local hold = redis.call("GET", key)
  if not hold then return "free" end
  local holder, life, place = string.match(hold, "^(%S+) %S* (%a) (%a)$")
  if holder == id then return place == "r" and "free" or "mine" end
  local task = tasks .. holder
  local over = redis.call("EXISTS", task) == 0 or redis.call("HEXISTS", task, "record") == 1
  if life == "u" and place ~= "r" and over then return "free" end
  return place == "o" and "owed" or "stored", hold
end
